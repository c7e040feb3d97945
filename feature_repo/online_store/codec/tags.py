"""The byte with which a protobuf `Value` of each type begins."""

TAG_BYTES, TAG_STRING, TAG_INT32, TAG_INT64 = 0x0A, 0x12, 0x18, 0x20
TAG_DOUBLE, TAG_FLOAT, TAG_BOOL, TAG_TIME = 0x29, 0x35, 0x38, 0x40
