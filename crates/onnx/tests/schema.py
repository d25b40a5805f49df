"""Compares the messages of src/proto with the schema that the `onnx` Python package carries.

Run by hand after an update of ONNX: `python crates/onnx/tests/schema.py` (needs `pip install onnx`).
Prints how many messages, fields and enumeration values agree; exits with 1 if one does not.
"""

import pathlib
import re
import sys

import onnx
from onnx import onnx_ml_pb2
from google.protobuf.descriptor import FieldDescriptor as Field

SOURCES = pathlib.Path(__file__).parent.parent / "src" / "proto"
SCALARS = {
    Field.TYPE_INT32: "int32",
    Field.TYPE_INT64: "int64",
    Field.TYPE_UINT64: "uint64",
    Field.TYPE_FLOAT: "float",
    Field.TYPE_DOUBLE: "double",
    Field.TYPE_STRING: "string",
    Field.TYPE_BYTES: "bytes",
    Field.TYPE_MESSAGE: "message",
    Field.TYPE_ENUM: "enumeration",
}


def snake(name):
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def rust_definitions():
    """{"attribute_proto.AttributeType": {item: (attribute, type)}} of all sources."""
    definitions = {}
    for path in sorted(SOURCES.glob("*.rs")):
        modules, current, attribute = [], None, None
        for line in path.read_text().splitlines():
            indent = len(line) - len(line.lstrip())
            text = line.strip()
            if match := re.match(r"pub mod (\w+) \{", text):
                modules.append((indent, match[1]))
            elif match := re.match(r"pub (?:struct|enum) (\w+) \{(\})?", text):
                current = (indent, {})
                definitions[".".join([name for _, name in modules] + [match[1]])] = current[1]
                if match[2]:
                    current = None
            elif text == "}":
                if current and current[0] == indent:
                    current = None
                elif modules and modules[-1][0] == indent:
                    modules.pop()
            elif current is not None:
                if match := re.match(r"#\[prost\((.*)\)\]", text):
                    attribute = match[1]
                elif match := re.match(r"pub (?:r#)?(\w+): (.*),", text):
                    current[1][match[1]] = (attribute, match[2])
                elif match := re.match(r"(\w+)\((\w+)\),", text):
                    current[1][match[1]] = (attribute, match[2])
                elif match := re.match(r"(\w+) = (\d+),", text):
                    current[1][match[1]] = int(match[2])
    return definitions


class Comparison:
    def __init__(self):
        self.rust = rust_definitions()
        self.messages = self.fields = self.values = 0
        self.faults = []

    def expect(self, what, found, expected):
        if found != expected:
            self.faults.append(f"{what}: {found!r}, expected {expected!r}")

    def path(self, descriptor):
        outer = descriptor.containing_type
        parents = []
        while outer is not None:
            parents.insert(0, snake(outer.name))
            outer = outer.containing_type
        return ".".join(parents + [descriptor.name])

    def message(self, descriptor):
        path = self.path(descriptor)
        items = dict(self.rust.pop(path, {}))
        self.messages += 1
        inner = ".".join(path.split(".")[:-1] + [snake(descriptor.name)])
        # A oneof is one field here and an enum beside it.
        for oneof in descriptor.oneofs:
            attribute, _ = items.pop(oneof.name, (None, None))
            tags = ", ".join(str(field.number) for field in oneof.fields)
            name = oneof.name.capitalize()
            self.expect(
                f"{path}.{oneof.name}", attribute, f'oneof = "{inner.split(".")[-1]}::{name}", tags = "{tags}"'
            )
            items |= {snake(item): rest for item, rest in self.rust.pop(f"{inner}.{name}", {}).items()}
        for field in descriptor.fields:
            self.field(path, field, items.pop(field.name, (None, None)))
        for item in items:
            self.faults.append(f"{path}.{item}: not in the schema")
        for enum in descriptor.enum_types:
            self.enumeration(self.path(enum), enum)
        for nested in descriptor.nested_types:
            self.message(nested)

    def field(self, path, field, found):
        attribute, rust_type = found
        where = f"{path}.{field.name}"
        self.fields += 1
        if attribute is None:
            self.faults.append(f"{where}: missing here")
            return
        words = [word.strip() for word in attribute.split(",")]
        self.expect(f"{where} tag", [w for w in words if w.startswith("tag ")], [f'tag = "{field.number}"'])
        self.expect(f"{where} type", words[0].split(" = ")[0], SCALARS[field.type])
        self.expect(f"{where} repeated", "repeated" in words, field.is_repeated)
        in_oneof = field.containing_oneof is not None
        self.expect(f"{where} optional", "optional" in words, not field.is_repeated and not in_oneof)
        # Bytes, strings and messages are never packed; float_data and the like say [packed = true].
        if field.is_repeated and field.type not in (Field.TYPE_STRING, Field.TYPE_BYTES, Field.TYPE_MESSAGE):
            self.expect(f"{where} packed", 'packed = "false"' not in words, field.GetOptions().packed)
        if field.type == Field.TYPE_MESSAGE:
            inner = re.sub(r"Option<|Vec<|Box<|>|\w+::", "", rust_type)
            self.expect(f"{where} message", inner, field.message_type.name)

    def enumeration(self, path, enum):
        # Names differ in case and underscores only; the numbers say which is which.
        found = {number: name.lower() for name, number in self.rust.pop(path, {}).items()}
        expected = {v.number: v.name.lower().replace("_", "") for v in enum.values}
        self.values += len(expected)
        self.expect(path, found, expected)


def main():
    comparison = Comparison()
    for descriptor in onnx_ml_pb2.DESCRIPTOR.message_types_by_name.values():
        comparison.message(descriptor)
    comparison.faults += [f"{path}: not in the schema" for path in comparison.rust]
    source = (SOURCES / "model.rs").read_text()
    version = int(re.search(r"IR_VERSION: i64 = (\d+);", source)[1])
    comparison.expect("IR_VERSION", version, onnx_ml_pb2.Version.Value("IR_VERSION"))
    for fault in comparison.faults:
        print(fault)
    print(
        f"onnx {onnx.__version__}: {comparison.messages} messages, {comparison.fields} fields, "
        f"{comparison.values} enumeration values compared, {len(comparison.faults)} differ"
    )
    return 1 if comparison.faults else 0


if __name__ == "__main__":
    sys.exit(main())
