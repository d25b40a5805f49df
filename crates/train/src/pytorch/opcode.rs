//! The instructions of pickles, and those that are followed.

/// An instruction that the machine follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    Proto,
    Frame,
    Stop,
    Mark,
    None,
    NewTrue,
    NewFalse,
    BinInt,
    BinInt1,
    BinInt2,
    Long1,
    BinFloat,
    ShortBinString,
    BinUnicode,
    ShortBinUnicode,
    BinUnicode8,
    EmptyList,
    EmptyTuple,
    EmptyDict,
    Tuple,
    Tuple1,
    Tuple2,
    Tuple3,
    Append,
    Appends,
    SetItem,
    SetItems,
    Global,
    StackGlobal,
    Reduce,
    Build,
    BinPersId,
    BinPut,
    LongBinPut,
    Memoize,
    BinGet,
    LongBinGet,
}

impl Opcode {
    /// Looks an instruction up.
    ///
    /// # Errors
    /// The name of one that is not followed, or nothing for a byte that is none.
    pub fn of(byte: u8) -> Result<Self, Option<&'static str>> {
        match FOLLOWED.iter().find(|(code, _)| *code == byte) {
            Some((_, opcode)) => Ok(*opcode),
            None => Err(REFUSED.iter().find(|(code, _)| *code == byte).map(|(_, name)| *name)),
        }
    }
}

const FOLLOWED: [(u8, Opcode); 37] = [
    (0x80, Opcode::Proto),
    (0x95, Opcode::Frame),
    (b'.', Opcode::Stop),
    (b'(', Opcode::Mark),
    (b'N', Opcode::None),
    (0x88, Opcode::NewTrue),
    (0x89, Opcode::NewFalse),
    (b'J', Opcode::BinInt),
    (b'K', Opcode::BinInt1),
    (b'M', Opcode::BinInt2),
    (0x8a, Opcode::Long1),
    (b'G', Opcode::BinFloat),
    (b'U', Opcode::ShortBinString),
    (b'X', Opcode::BinUnicode),
    (0x8c, Opcode::ShortBinUnicode),
    (0x8d, Opcode::BinUnicode8),
    (b']', Opcode::EmptyList),
    (b')', Opcode::EmptyTuple),
    (b'}', Opcode::EmptyDict),
    (b't', Opcode::Tuple),
    (0x85, Opcode::Tuple1),
    (0x86, Opcode::Tuple2),
    (0x87, Opcode::Tuple3),
    (b'a', Opcode::Append),
    (b'e', Opcode::Appends),
    (b's', Opcode::SetItem),
    (b'u', Opcode::SetItems),
    (b'c', Opcode::Global),
    (0x93, Opcode::StackGlobal),
    (b'R', Opcode::Reduce),
    (b'b', Opcode::Build),
    (b'Q', Opcode::BinPersId),
    (b'q', Opcode::BinPut),
    (b'r', Opcode::LongBinPut),
    (0x94, Opcode::Memoize),
    (b'h', Opcode::BinGet),
    (b'j', Opcode::LongBinGet),
];

/// The rest of the pickle protocol up to version 5, by the names of Python's `pickletools`.
const REFUSED: [(u8, &str); 31] = [
    (b'0', "POP"),
    (b'1', "POP_MARK"),
    (b'2', "DUP"),
    (b'F', "FLOAT"),
    (b'I', "INT"),
    (b'L', "LONG"),
    (0x8b, "LONG4"),
    (b'S', "STRING"),
    (b'T', "BINSTRING"),
    (b'V', "UNICODE"),
    (b'B', "BINBYTES"),
    (b'C', "SHORT_BINBYTES"),
    (0x8e, "BINBYTES8"),
    (0x96, "BYTEARRAY8"),
    (0x97, "NEXT_BUFFER"),
    (0x98, "READONLY_BUFFER"),
    (b'l', "LIST"),
    (b'd', "DICT"),
    (0x8f, "EMPTY_SET"),
    (0x90, "ADDITEMS"),
    (0x91, "FROZENSET"),
    (b'p', "PUT"),
    (b'g', "GET"),
    (b'i', "INST"),
    (b'o', "OBJ"),
    (b'P', "PERSID"),
    (0x81, "NEWOBJ"),
    (0x92, "NEWOBJ_EX"),
    (0x82, "EXT1"),
    (0x83, "EXT2"),
    (0x84, "EXT4"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_followed_or_refused_once() {
        let codes =
            FOLLOWED.iter().map(|(code, _)| *code).chain(REFUSED.iter().map(|(code, _)| *code));
        let mut codes: Vec<u8> = codes.collect();
        codes.sort_unstable();
        codes.dedup();
        // The protocol has 68 instructions.
        assert_eq!(codes.len(), FOLLOWED.len() + REFUSED.len());
        assert_eq!(codes.len(), 68);
        assert_eq!(Opcode::of(b'o'), Err(Some("OBJ")));
        assert_eq!(Opcode::of(0xff), Err(None));
    }
}
