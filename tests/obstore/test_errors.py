"""An answer means to ``s3+obstore://`` what it means to ``s3://``."""

from __future__ import annotations

import pytest
from botocore.exceptions import ClientError

from storage.backends._s3_errors import TRANSIENT
from storage.backends.obstore._errors import AnswerError, classify, fault_of
from storage.backends.s3._errors import is_transient
from tests.s3.test_errors import TABLE


@pytest.mark.parametrize("status, code, kind", TABLE)
def test_code(status, code, kind):
    """Each code and status is the class that it is to the other driver."""
    assert classify(AnswerError(status, code or None, "")) is kind


@pytest.mark.parametrize("code", sorted(TRANSIENT))
def test_what_another_try_may_mend(code):
    """A code that means "later" is tried again by both drivers, whatever its status."""
    assert fault_of(AnswerError(400, code, "")).retryable is True
    assert is_transient(ClientError({"Error": {"Code": code}}, "PutObject")) is True
