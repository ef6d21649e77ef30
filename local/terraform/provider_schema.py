"""The schema of Terraform's google provider, read out of the Python bindings that are generated from it.

The provider itself is to be had from Terraform's registry only. The package ``cdktn-provider-google`` (MPL-2.0)
describes every resource of one of its versions: names, types, what is required, and in the documentation the values
that an attribute may have. `python -m local.terraform.provider_schema WHEEL OUTPUT` writes that as JSON, for
`local.terraform.provider`.

It does not tell sets from lists, which attributes exclude each other, or which are computed when not given; so those
faults of a configuration are not found.
"""

import io
import json
import re
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Final

__all__ = ["read_schema"]

_TYPES: Final = {"string": "string", "number": "number", "boolean": "bool", "any": "dynamic", "json": "dynamic"}
_NOT_OF_THE_PROVIDER: Final = frozenset(
    {
        *("connection", "count", "depends_on", "for_each", "lifecycle", "provider", "provisioners"),
        *("tf_resource_type", "terraform_meta_arguments", "terraform_resource_type", "cdktf_stack", "node", "fqn"),
        *("friendly_unique_id", "construct_node_metadata", "raw_overrides", "terraform_generator_metadata"),
    }
)
"""Meta-arguments of Terraform's language, and members of the bindings."""
_NAME: Final = re.compile(r"#([a-z0-9_]+) [A-Za-z0-9]+#")
_PAGE: Final = re.compile(r"/([0-9.]+)/docs/(resources|data-sources)/([a-z0-9_]+)")
_PROVIDER: Final = re.compile(r"/providers/hashicorp/google/[0-9.]+/docs google\}")
_VALUES: Final = re.compile(r'Possible values: \[((?:"[^"]+"(?:, )?)+)\]')


def read_schema(wheel: Path) -> dict[str, Any]:
    """Return the provider's schema.

    Parameters
    ----------
    wheel
        The package ``cdktn-provider-google``.

    Returns
    -------
    dict
        ``version`` of the provider, ``provider``, ``resources`` and ``data_sources``. A block has ``attributes``
        (``type`` as Terraform writes it, ``required``, ``computed``, ``values`` that it may have) and ``blocks``
        (``block``, ``required``, ``several``).

    Raises
    ------
    ValueError
        If the wheel holds no such bindings.
    """
    types = _types(wheel)
    schema: dict[str, Any] = {"version": "", "provider": None, "resources": {}, "data_sources": {}}
    for name, type_ in types.items():
        if type_["kind"] != "class" or f"{name}Config" not in types:
            continue
        documented = json.dumps(type_.get("docs", {}))
        page = _PAGE.search(documented)
        if page is not None:
            schema["version"] = page[1]
            block = _block(f"{name}Config", types, ())
            _add_computed(block, type_)
            kind = "resources" if page[2] == "resources" else "data_sources"
            schema[kind][f"google_{page[3]}"] = block
        elif _PROVIDER.search(documented):
            schema["provider"] = _block(f"{name}Config", types, ())
    if schema["provider"] is None or not schema["resources"]:
        raise ValueError(f"{wheel.name} holds no bindings of the google provider")
    return schema


def _types(wheel: Path) -> dict[str, Any]:
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if name.endswith(".jsii.tgz")]
        if len(names) != 1:
            raise ValueError(f"{wheel.name} holds no bindings of the google provider")
        inner = archive.read(names[0])
    with tarfile.open(fileobj=io.BytesIO(inner)) as package:
        member = package.extractfile("package/.jsii")
        if member is None:
            raise ValueError(f"{wheel.name} holds no description of its types")
        types: dict[str, Any] = json.load(member)["types"]
    return types


def _block(name: str, types: dict[str, Any], outer: tuple[str, ...]) -> dict[str, Any]:
    block: dict[str, Any] = {"attributes": {}, "blocks": {}}
    for property_ in types[name].get("properties", []):
        documented = json.dumps(property_.get("docs", {}))
        named = _NAME.search(documented)
        attribute = named[1] if named else _snake(property_["name"])
        if not outer and attribute in _NOT_OF_THE_PROVIDER:  # further in, such as `count` of a rate limit, it is
            continue
        required = not property_.get("optional", False)
        inner = _inner(property_["type"])
        if inner in types and types[inner]["kind"] == "interface" and inner not in outer:
            block["blocks"][attribute] = {
                "block": _block(inner, types, (*outer, inner)),
                "required": required,
                "several": "collection" in json.dumps(property_["type"]),
            }
        else:
            values = _VALUES.search(json.dumps(property_.get("docs", {})).replace('\\"', '"'))
            block["attributes"][attribute] = {
                "type": _type(property_["type"]) or "dynamic",
                "required": required,
                "computed": False,
                "values": json.loads(f"[{values[1]}]") if values else [],
            }
    return block


def _add_computed(block: dict[str, Any], type_: dict[str, Any]) -> None:
    """Add what a resource only tells: read-only members of its class that no argument stands for."""
    for property_ in type_["properties"]:
        name = _snake(property_["name"])
        known = name in block["attributes"] or name in block["blocks"] or name in _NOT_OF_THE_PROVIDER
        if property_.get("immutable") and not property_.get("static") and not known and not name.endswith("_input"):
            block["attributes"][name] = {
                "type": _type(property_["type"]) or "dynamic",
                "required": False,
                "computed": True,
                "values": [],
            }


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _inner(type_: dict[str, Any]) -> str:
    """Return the name of the structure that a type is, is a list of, or may be; an empty string if of none."""
    if "fqn" in type_:
        return str(type_["fqn"])
    if "collection" in type_:
        return _inner(type_["collection"]["elementtype"])
    found = [_inner(each) for each in type_.get("union", {}).get("types", [])]
    return next((name for name in found if name and not name.endswith(".IResolvable")), "")


def _type(type_: dict[str, Any]) -> Any:
    """Return a type as Terraform's protocol writes it, or `None` for a structure."""
    if "primitive" in type_:
        return _TYPES[type_["primitive"]]
    if "collection" in type_:
        element = _type(type_["collection"]["elementtype"])
        return None if element is None else ["map" if type_["collection"]["kind"] == "map" else "list", element]
    if "union" in type_:
        # The bindings take a boolean also as a token; the first that is a plain type is what Terraform has.
        return next(filter(None, (_type(each) for each in type_["union"]["types"])), "dynamic")
    return ["map", "string"] if str(type_.get("fqn", "")).endswith(".StringMap") else None


def main() -> None:
    """Write the schema of the wheel that is the first argument to the file that is the second."""
    wheel, output = sys.argv[1:]
    Path(output).write_text(json.dumps(read_schema(Path(wheel)), separators=(",", ":")), "utf-8")


if __name__ == "__main__":
    main()
