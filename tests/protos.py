"""A Protobuf schema as text, and the same as classes of another implementation."""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    timestamp_pb2,
    wrappers_pb2,
)

TEXT = """\
// A file; /* not a comment */
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/wrappers.proto";
option java_package = "x;y";
/* message Hidden { string a = 1; } */
message Other { string nothing = 1; }
message Sale {
  reserved 3, 90 to 100; reserved "old";
  enum Kind { option allow_alias = true; UNKNOWN = 0; SALE = 1; RETURN = 2; BACK = 2; LESS = -1; }
  message Line { string sku = 1; sint32 pieces = 2; repeated double prices = 3 [packed = true]; }
  string id = 1 [deprecated = true, json_name = "ID"];
  int32 small = 2;
  int64 large = 4;
  uint32 u32 = 5; uint64 u64 = 6; sint64 s64 = 7;
  fixed32 f32 = 8; sfixed64 sf64 = 9;
  bool yes = 10; float f = 11; double d = 12; bytes raw = 13;
  Kind kind = 14;
  optional int32 maybe = 15;
  Line line = 16;
  repeated .shop.v1.Sale.Line lines = 17;
  repeated int32 numbers = 18;
  repeated string words = 19;
  map<string, Line> by_name = 20;
  map<int32, string> names = 21;
  google.protobuf.Timestamp at = 22;
  google.protobuf.DoubleValue wrapped = 23;
  oneof choice { string text = 24; Kind of_kind = 25; }
  Node tree = 26;
  service_name service = 27;
}
message service_name { int32 x = 1; }
message Node { Node left = 1; int32 value = 2; }
service Till { rpc Sell(Sale) returns (Other) { option (x) = { a: 1; }; } rpc Stop(Other) returns (Other); }
"""
_F = descriptor_pb2.FieldDescriptorProto


def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="sale.proto",
        package="shop.v1",
        syntax="proto3",
        dependency=["google/protobuf/timestamp.proto", "google/protobuf/wrappers.proto"],
    )
    assert timestamp_pb2
    assert wrappers_pb2
    other = file.message_type.add(name="Other")
    other.field.add(name="nothing", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    sale = file.message_type.add(name="Sale")
    kind = sale.enum_type.add(name="Kind")
    for name, number in (("UNKNOWN", 0), ("SALE", 1), ("RETURN", 2), ("LESS", -1)):
        kind.value.add(name=name, number=number)
    line = sale.nested_type.add(name="Line")
    line.field.add(name="sku", number=1, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL)
    line.field.add(name="pieces", number=2, type=_F.TYPE_SINT32, label=_F.LABEL_OPTIONAL)
    line.field.add(name="prices", number=3, type=_F.TYPE_DOUBLE, label=_F.LABEL_REPEATED)
    plain = {
        "id": (1, _F.TYPE_STRING), "small": (2, _F.TYPE_INT32), "large": (4, _F.TYPE_INT64),
        "u32": (5, _F.TYPE_UINT32), "u64": (6, _F.TYPE_UINT64), "s64": (7, _F.TYPE_SINT64),
        "f32": (8, _F.TYPE_FIXED32), "sf64": (9, _F.TYPE_SFIXED64), "yes": (10, _F.TYPE_BOOL),
        "f": (11, _F.TYPE_FLOAT), "d": (12, _F.TYPE_DOUBLE), "raw": (13, _F.TYPE_BYTES),
    }  # fmt: skip
    for name, (number, of) in plain.items():
        sale.field.add(name=name, number=number, type=of, label=_F.LABEL_OPTIONAL)
    k, m = ".shop.v1.Sale.Kind", _F.TYPE_MESSAGE
    sale.field.add(name="kind", number=14, type=_F.TYPE_ENUM, type_name=k, label=_F.LABEL_OPTIONAL)
    one = ".shop.v1.Sale.Line"
    sale.field.add(name="line", number=16, type=m, type_name=one, label=_F.LABEL_OPTIONAL)
    sale.field.add(name="lines", number=17, type=m, type_name=one, label=_F.LABEL_REPEATED)
    sale.field.add(name="numbers", number=18, type=_F.TYPE_INT32, label=_F.LABEL_REPEATED)
    sale.field.add(name="words", number=19, type=_F.TYPE_STRING, label=_F.LABEL_REPEATED)
    for name, number, key, value, of in (
        ("by_name", 20, _F.TYPE_STRING, m, one),
        ("names", 21, _F.TYPE_INT32, _F.TYPE_STRING, ""),
    ):
        entry_name = "".join(part.title() for part in name.split("_")) + "Entry"
        entry = sale.nested_type.add(name=entry_name)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=key, label=_F.LABEL_OPTIONAL)
        entry.field.add(
            name="value", number=2, type=value, type_name=of or None, label=_F.LABEL_OPTIONAL
        )
        at = f".shop.v1.Sale.{entry_name}"
        sale.field.add(name=name, number=number, type=m, type_name=at, label=_F.LABEL_REPEATED)
    for name, number, of in (("at", 22, "Timestamp"), ("wrapped", 23, "DoubleValue")):
        at = f".google.protobuf.{of}"
        sale.field.add(name=name, number=number, type=m, type_name=at, label=_F.LABEL_OPTIONAL)
    sale.oneof_decl.add(name="choice")
    sale.field.add(
        name="text", number=24, type=_F.TYPE_STRING, label=_F.LABEL_OPTIONAL, oneof_index=0
    )
    sale.field.add(
        name="of_kind",
        number=25,
        type=_F.TYPE_ENUM,
        type_name=k,
        label=_F.LABEL_OPTIONAL,
        oneof_index=0,
    )
    sale.oneof_decl.add(name="_maybe")
    sale.field.add(
        name="maybe",
        number=15,
        type=_F.TYPE_INT32,
        label=_F.LABEL_OPTIONAL,
        oneof_index=1,
        proto3_optional=True,
    )
    pool = descriptor_pool.Default()
    pool.Add(file)
    found = {n: pool.FindMessageTypeByName(f"shop.v1.{n}") for n in ("Other", "Sale", "Sale.Line")}
    return {name: message_factory.GetMessageClass(d) for name, d in found.items()}


CLASSES = _classes()
