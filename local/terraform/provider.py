"""A stand-in for Terraform's google provider: it has the real one's schema and does nothing.

With it `terraform validate` finds unknown attributes, missing ones and values that are not offered, and `terraform
test` plans and applies with a mocked provider, all without an account and without Terraform's registry. Terraform
starts it as a program (``dev_overrides`` of its configuration); `local/setup.sh terraform` writes both. It runs in
an environment of its own, with the packages ``tf``, ``grpcio`` and ``msgpack``.

It cannot plan by itself: `terraform plan` needs the real provider.
"""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

# These packages are of the environment that `local/setup.sh terraform` makes, not of the project's own.
import msgpack  # type: ignore[import-not-found,unused-ignore]
import tf.provider  # type: ignore[import-not-found,unused-ignore]
import tf.runner  # type: ignore[import-not-found,unused-ignore]
from tf.gen import tfplugin_pb2 as protocol  # type: ignore[import-not-found,unused-ignore]
from tf.gen import tfplugin_pb2_grpc as service  # type: ignore[import-not-found,unused-ignore]

__all__ = ["serve"]

_SCHEMA: Final = "GOOGLE_PROVIDER_SCHEMA"
"""The variable with the path of the schema."""
_TYPE: Final = re.compile(r'"(google_[a-z0-9_]+)"')
_WRITE_ONLY: Final = bytes([11 << 3, 1])
"""Field 11 of an attribute, `write_only`, set: the package's copy of the protocol is older than it."""


class _Identity:
    def full_name(self) -> str:
        return "hashicorp/google"


class _StandIn(service.ProviderServicer):  # type: ignore[misc,unused-ignore]
    """Answers what `terraform validate` and mocked tests ask of a provider (tfplugin6.proto)."""

    schema: dict[str, Any]

    def __init__(self, identity: object) -> None:
        del identity

    def GetProviderSchema(self, request: object, context: object) -> object:  # noqa: N802 - the protocol's name
        del request, context
        return protocol.GetProviderSchema.Response(
            provider=_schema(self.schema["provider"]),
            resource_schemas={name: _schema(block) for name, block in self.schema["resources"].items()},
            data_source_schemas={name: _schema(block) for name, block in self.schema["data_sources"].items()},
        )

    def ValidateProviderConfig(self, request: object, context: object) -> object:  # noqa: N802
        del request, context
        return protocol.ValidateProviderConfig.Response()

    def ValidateResourceConfig(self, request: Any, context: object) -> object:  # noqa: N802
        del context
        block = self.schema["resources"][request.type_name]
        return protocol.ValidateResourceConfig.Response(diagnostics=_diagnostics(request.config, block))

    def ValidateDataResourceConfig(self, request: Any, context: object) -> object:  # noqa: N802
        del context
        block = self.schema["data_sources"][request.type_name]
        return protocol.ValidateDataResourceConfig.Response(diagnostics=_diagnostics(request.config, block))

    def ConfigureProvider(self, request: object, context: object) -> object:  # noqa: N802
        del request, context
        return protocol.ConfigureProvider.Response()

    def StopProvider(self, request: object, context: object) -> object:  # noqa: N802
        del request, context
        return protocol.StopProvider.Response()


def _schema(block: dict[str, Any]) -> object:
    return protocol.Schema(version=0, block=_block(block))


def _block(block: dict[str, Any]) -> object:
    nested = protocol.Schema.NestedBlock
    attributes = [_attribute(name, each) for name, each in block["attributes"].items()]
    blocks = [
        nested(
            type_name=name,
            nesting=nested.SINGLE if name == "timeouts" else nested.LIST,
            block=_block(each["block"]),
            min_items=1 if each["required"] else 0,
            max_items=0 if each["several"] or name == "timeouts" else 1,
        )
        for name, each in block["blocks"].items()
    ]
    return protocol.Schema.Block(version=0, attributes=attributes, block_types=blocks)


def _attribute(name: str, described: dict[str, Any]) -> object:
    attribute = protocol.Schema.Attribute(
        name=name,
        type=json.dumps(described["type"]).encode(),
        required=described["required"],
        optional=not described["required"] and not described["computed"],
        # Without it a resource that has not been made yet would have no identifier to refer to.
        computed=described["computed"] or (name == "id" and not described["required"]),
    )
    if name.endswith("_wo"):
        attribute.MergeFromString(_WRITE_ONLY)
    return attribute


def _diagnostics(config: Any, block: dict[str, Any]) -> list[object]:
    value = msgpack.unpackb(config.msgpack, ext_hook=lambda code, data: None, strict_map_key=False)  # noqa: ARG005 - unknown values count as absent
    return [
        protocol.Diagnostic(severity=protocol.Diagnostic.ERROR, summary="Value is not offered", detail=fault)
        for fault in _faults(value, block, "")
    ]


def _faults(value: Any, block: dict[str, Any], path: str) -> Iterator[str]:
    """Yield the attributes whose value is not of those that the documentation lists."""
    for name, each in block["attributes"].items():
        given = value.get(name)
        for one in given if isinstance(given, list) else [given]:
            if each["values"] and one not in (None, "") and one not in each["values"]:
                yield f"{path}{name} is {one!r}; it may be {', '.join(each['values'])}."
    for name, each in block["blocks"].items():
        inner = value.get(name)
        for one in inner if isinstance(inner, list) else [inner]:
            if isinstance(one, dict):
                yield from _faults(one, each["block"], f"{path}{name}.")


def _of_configuration(schema: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Return the schema of the types that the configuration in a folder mentions.

    Terraform starts a provider some ten times in a test, and reads all of its schema each time. A type that is
    misspelt is in neither.
    """
    texts = [file.read_text("utf-8") for file in folder.glob("*.tf")]
    mentioned = {name for text in texts for name in _TYPE.findall(text)}
    kinds = ("resources", "data_sources")
    return schema | {kind: {name: schema[kind][name] for name in mentioned & schema[kind].keys()} for kind in kinds}


def serve() -> None:
    """Serve until Terraform ends it; the schema is the file that ``GOOGLE_PROVIDER_SCHEMA`` names."""
    # Not a setting of the services: the program that `local/setup.sh` writes sets it.
    path = os.environ.get(_SCHEMA)
    if path is None:
        sys.exit(f"{_SCHEMA} is not set: Terraform starts this by the program that local/setup.sh writes")
    _StandIn.schema = _of_configuration(json.loads(Path(path).read_text("utf-8")), Path.cwd())
    tf.provider.ProviderServicer = _StandIn
    tf.runner.run_provider(_Identity())


if __name__ == "__main__":
    serve()
