"""A worker outlives a chief that dies while it answers."""

import grpc
import pytest

from mcuformer_tflm.search.tuners import patient_worker
from mcuformer_tflm.search.tuners.patient_worker import PatientStub


class _Broken(grpc.RpcError):
    def __init__(self, code):
        self._code = code

    def code(self):
        return self._code


class _Stub:
    def __init__(self, *answers):
        self.answers = list(answers)

    def GetTrial(self, request, timeout):  # noqa: N802
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return request, timeout, answer


def test_a_call_that_broke_off_is_made_again_and_no_other(monkeypatch):
    monkeypatch.setattr(patient_worker, "_PAUSE_SECONDS", 0)
    gone = _Broken(grpc.StatusCode.UNAVAILABLE)
    stub = _Stub(gone, gone, "answer")
    assert PatientStub(stub).GetTrial("request", timeout=5) == ("request", 5, "answer")
    late = _Stub(_Broken(grpc.StatusCode.DEADLINE_EXCEEDED), "answer")
    with pytest.raises(_Broken):
        PatientStub(late).GetTrial("request", timeout=5)
    assert late.answers == ["answer"]
    never = _Stub(*[gone] * 50)
    with pytest.raises(_Broken):
        PatientStub(never).GetTrial("request", timeout=5)
