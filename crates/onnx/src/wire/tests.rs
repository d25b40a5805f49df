use super::{UnknownField, scan};
use crate::proto::ModelProto;
use prost::Message as _;

/// `inner` as field `number`.
fn wrapped(number: u32, inner: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    prost::encoding::encode_varint(u64::from(number << 3 | 2), &mut bytes);
    prost::encoding::encode_varint(inner.len() as u64, &mut bytes);
    bytes.extend_from_slice(inner);
    bytes
}

#[test]
fn unknown_fields_are_found_at_every_depth() {
    // In a node's attribute: field 99 as a number, as bytes, and as a group with a field inside.
    let mut attribute = vec![0x98, 0x06, 5];
    attribute.extend(wrapped(99, b"abc"));
    attribute.extend([0x9b, 0x06, 0x08, 0x01, 0x9c, 0x06]);
    let mut model = wrapped(7, &wrapped(1, &wrapped(5, &attribute)));
    model.extend([0xa8, 0x06, 1]);
    let found = scan(&model).unwrap();
    let expected = [
        UnknownField { message: "AttributeProto", number: 99, count: 3, bytes: 15, offset: 6 },
        UnknownField { message: "ModelProto", number: 101, count: 1, bytes: 3, offset: 21 },
    ];
    assert_eq!(found, expected);
    // Without them nothing is left but the messages around.
    let decoded = ModelProto::decode(model.as_slice()).unwrap();
    assert_eq!(decoded.encoded_len(), model.len() - 18);
}

#[test]
fn nesting_is_limited_where_prost_limits_it() {
    // Alternately a graph's node, its attribute, its graph.
    for depth in 1..=120 {
        let mut bytes = Vec::new();
        for level in (0..depth).rev() {
            let number = if level == 0 { 7 } else { [6, 1, 5][level % 3] };
            bytes = wrapped(number, &bytes);
        }
        let (ours, theirs) = (scan(&bytes), ModelProto::decode(bytes.as_slice()));
        assert_eq!(ours.is_ok(), depth <= 100, "{depth}: {ours:?}");
        assert_eq!(theirs.is_ok(), depth <= 100, "{depth}");
    }
}

#[test]
fn depth_of_any_size_is_an_error() {
    // A million levels, and a million groups, in files of a few megabytes.
    let mut levels = Vec::new();
    let mut lengths = vec![0_usize];
    for _ in 0..1_000_000 {
        let inner = lengths[lengths.len() - 1];
        lengths.push(inner + 1 + prost::encoding::encoded_len_varint(inner as u64));
    }
    for level in (0..1_000_000_usize).rev() {
        let number = if level == 999_999 { 7 } else { [6, 1, 5][(999_999 - level) % 3] };
        prost::encoding::encode_varint(number << 3 | 2, &mut levels);
        prost::encoding::encode_varint(lengths[level] as u64, &mut levels);
    }
    let error = scan(&levels).unwrap_err().to_string();
    assert!(error.contains("nested too deep"), "{error}");
    let error = scan(&[0x9b, 0x06].repeat(1_000_000)).unwrap_err().to_string();
    assert!(error.contains("nested too deep"), "{error}");
}

#[test]
fn memory_is_limited() {
    // Empty nodes: two bytes each in the file, hundreds in memory.
    let nodes = [0x0a, 0x00].repeat(1 << 20);
    let error = scan(&wrapped(7, &nodes)).unwrap_err().to_string();
    assert!(error.contains("bytes of memory"), "{error}");
    // A few of them do no harm.
    assert_eq!(scan(&wrapped(7, &nodes[..2000])).unwrap(), []);
}

#[test]
fn broken_bytes_are_errors_that_say_where() {
    let cases: [(&[u8], &str); 8] = [
        (&[0x80], "byte 0 (ModelProto): a number that is cut short"),
        (&[0x3a, 5, 0], "byte 1 (ModelProto): a field of 5 bytes, where 1 are left"),
        (&[0x3a, 2, 0x0a, 9], "byte 3 (GraphProto): a field of 9 bytes, where 0 are left"),
        (&[0x00, 0], "byte 0 (ModelProto): a field has the number 0"),
        (&[0x0f, 0], "byte 0 (ModelProto): field 1 has the wire type 7"),
        (&[0x9d, 0x06, 1], "byte 2 (ModelProto): a number of 4 bytes, where 1 are left"),
        (&[0x9b, 0x06, 0xa4, 0x06], "byte 2 (ModelProto): group 99 ends as group 100"),
        (
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2],
            "byte 1 (ModelProto): a number of more than 64 bits",
        ),
    ];
    for (bytes, expected) in cases {
        assert_eq!(scan(bytes).unwrap_err().to_string(), expected);
    }
}
