from django.contrib import admin
from django.http import HttpResponse
from django.urls import path

from tests.integrations.shop.models import Picture


def page(_):
    return HttpResponse("".join(f'<img src="{picture.file.url}">' for picture in Picture.objects.all()))


urlpatterns = [path("admin/", admin.site.urls), path("", page)]
