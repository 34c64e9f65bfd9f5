from django.contrib import admin
from django.db import models


class Picture(models.Model):
    """A picture and its name."""

    file = models.FileField(upload_to="pictures/")

    class Meta:
        app_label = "shop"

    def __str__(self):
        return self.file.name


admin.site.register(Picture)
