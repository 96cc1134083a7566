"""The messages that come to a worker over NATS, as models: unknown keys, wrong types and huge values are refused."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from holdfast.config import MAX_INPUT_CHANNELS
from holdfast.errors import HoldfastError

MAX_SOURCE_CHARACTERS = 6 << 20

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,64}$")]


class MessageError(HoldfastError):
    """A message that does not fit its subject; says where."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class DeployRequest(_Message):
    """A controller to verify and activate."""

    name: Name
    version: Annotated[str, Field(max_length=64)] = ""
    source_b64: Annotated[str, Field(min_length=1, max_length=MAX_SOURCE_CHARACTERS)]

    def source(self) -> bytes:
        """Return the source, decoded.

        Raises:
            MessageError: it is not base64.
        """
        try:
            return base64.b64decode(self.source_b64, validate=True)
        except (binascii.Error, ValueError) as error:
            raise MessageError(f"source_b64 is not base64: {error}") from error


class EstopRequest(_Message):
    """An emergency stop and why."""

    reason: Annotated[str, Field(max_length=500)] = ""


class InputRequest(_Message):
    """What an operator asks for, and the token of the last answer that the operator's device has seen."""

    values: Annotated[
        dict[Name, Annotated[float, Field(allow_inf_nan=False)]], Field(max_length=MAX_INPUT_CHANNELS)
    ] = {}
    token: int | None = None


class EmptyRequest(_Message):
    """A request that needs no words."""


class TaskMessage(_Message):
    """A task for the robot."""

    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,128}$")]
    kind: Literal["deploy", "status_report"]
    requires: Annotated[list[Literal["fleet"]], Field(max_length=8)] = []
    args: dict[str, Any] = {}

    def parsed_args(self) -> DeployRequest | EmptyRequest:
        """Return the arguments as the model of this kind.

        Raises:
            MessageError: they do not fit.
        """
        if self.kind == "deploy":
            return _validated(DeployRequest, self.args)
        return _validated(EmptyRequest, self.args)


MessageT = TypeVar("MessageT", bound=_Message)


def parse(model: type[MessageT], data: bytes) -> MessageT:
    """Read one message.

    Raises:
        MessageError: it is not JSON, not an object, or does not fit the model.
    """
    try:
        body = json.loads(data or b"{}")
    except (ValueError, RecursionError) as error:
        raise MessageError(f"the message is not JSON: {error}") from error
    return _validated(model, body)


def _validated(model: type[MessageT], body: object) -> MessageT:
    try:
        return model.model_validate(body)
    except ValidationError as error:
        detail = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, detail["loc"])) or "the message"
        raise MessageError(f"{where}: {detail['msg']}") from error
