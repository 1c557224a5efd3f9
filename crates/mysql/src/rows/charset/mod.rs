//! Character sets: the bytes of a text column as the characters that the server means by them.
//!
//! The law: what is decoded here is what SELECT shows, a code without a character as `?` included, which is what the server
//! makes of it. The tables beside this file are the servers' own, and a test compares them code by code with what each
//! supported server says; sets without a table are not read.
//!
//! A line of `single.txt` has the characters of the bytes from 0x20, a line of `multi.txt` those of a first byte's second
//! bytes from 0x40 (behind 0x8F: of the third); `80` stands for single bytes from 0x80. A blank is a code that cannot be.

use std::sync::LazyLock;

/// How the bytes of a text column are to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Charset {
    /// utf8mb4, utf8mb3: valid UTF-8 as it is.
    Utf8,
    /// Every other one that is read.
    Coded(&'static Coding),
    /// One that is not decoded, by name or collation number.
    Other(std::sync::Arc<str>),
}

impl Charset {
    /// By the name of `information_schema`.
    pub fn by_name(name: &str) -> Self {
        match name {
            "utf8mb4" | "utf8mb3" | "utf8" => Self::Utf8,
            name => {
                CODINGS.iter().find(|coding| coding.name == name).map_or_else(|| Self::Other(name.into()), Self::Coded)
            }
        }
    }

    /// By the number of a collation, as both products count them; `None` for binary. MariaDB's uca1400 collations have
    /// 256 numbers a character set from 2048 up, its collations that do not pad are 1024 above the others.
    pub fn by_collation(collation: u64) -> Option<Self> {
        let name = match collation {
            63 => return None,
            33 | 76 | 83 | 192..=215 | 223 | 576..=607 | 1057 | 1107 | 1216..=1247 | 2048..=2303 => "utf8mb3",
            45 | 46 | 224..=247 | 255..=323 | 608..=639 | 1069 | 1070 | 1248..=1279 | 2304..=2559 => "utf8mb4",
            35 | 90 | 128..=151 | 159 | 640..=671 | 1059 | 1114 | 1152 | 1174 | 2560..=2815 => "ucs2",
            54 | 55 | 101..=124 | 672..=703 | 1078 | 1079 | 1125 | 1147 | 2816..=3071 => "utf16",
            60 | 61 | 160..=183 | 736..=767 | 1084 | 1085 | 1184 | 1206 | 3072..=3327 => "utf32",
            56 | 62 | 1080 | 1086 => "utf16le",
            11 | 65 | 1035 | 1089 => "ascii",
            5 | 8 | 15 | 31 | 47..=49 | 94 | 1032 | 1071 => "latin1",
            2 | 9 | 21 | 27 | 77 | 1033 | 1101 => "latin2",
            30 | 78 | 1054 | 1102 => "latin5",
            20 | 41 | 42 | 79 | 1065 | 1103 => "latin7",
            32 | 64 | 1056 | 1088 => "armscii8",
            1 | 84 | 1025 | 1108 => "big5",
            26 | 34 | 44 | 66 | 99 | 1050 | 1090 => "cp1250",
            14 | 23 | 50..=52 | 1074 | 1075 => "cp1251",
            57 | 67 | 1081 | 1091 => "cp1256",
            29 | 58 | 59 | 1082 | 1083 => "cp1257",
            4 | 80 | 1028 | 1104 => "cp850",
            40 | 81 | 1064 | 1105 => "cp852",
            36 | 68 | 1060 | 1092 => "cp866",
            95 | 96 | 1119 | 1120 => "cp932",
            3 | 69 | 1027 | 1093 => "dec8",
            97 | 98 | 1121 | 1122 => "eucjpms",
            19 | 85 | 1043 | 1109 => "euckr",
            248..=250 => "gb18030",
            24 | 86 | 1048 | 1110 => "gb2312",
            28 | 87 | 1052 | 1111 => "gbk",
            92 | 93 | 1116 | 1117 => "geostd8",
            25 | 70 | 1049 | 1094 => "greek",
            16 | 71 | 1040 | 1095 => "hebrew",
            6 | 72 | 1030 | 1096 => "hp8",
            37 | 73 | 1061 | 1097 => "keybcs2",
            7 | 74 | 1031 | 1098 => "koi8r",
            22 | 75 | 1046 | 1099 => "koi8u",
            38 | 43 | 1062 | 1067 => "macce",
            39 | 53 | 1063 | 1077 => "macroman",
            13 | 88 | 1037 | 1112 => "sjis",
            10 | 82 | 1034 | 1106 => "swe7",
            18 | 89 | 1042 | 1113 => "tis620",
            12 | 91 | 1036 | 1115 => "ujis",
            other => return Some(Self::Other(format!("of collation {other}").into())),
        };
        Some(Self::by_name(name))
    }

    /// Appends the characters of a text. The error is the place of the first byte that cannot be.
    pub fn decode(&self, bytes: &[u8], out: &mut String) -> Result<(), usize> {
        match self {
            Self::Utf8 => {
                std::str::from_utf8(bytes).map(|text| out.push_str(text)).map_err(|error| error.valid_up_to())
            }
            Self::Coded(coding) => coding.decode(bytes, out),
            Self::Other(_) => Err(0),
        }
    }
}

/// A character set whose bytes are turned into characters here.
#[derive(Debug)]
pub struct Coding {
    /// Its name.
    pub name: &'static str,
    way: Way,
}

impl PartialEq for Coding {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Coding {}

#[derive(Debug)]
enum Way {
    /// A character a byte, from 0x20.
    Single(Box<[char]>),
    Multi(Multi),
    /// Units of so many bytes, high byte first; pairs of surrogates are one character.
    Wide {
        bytes: usize,
        low_first: bool,
        pairs: bool,
    },
}

/// ASCII, and codes of one to three bytes above.
#[derive(Debug)]
struct Multi {
    /// Single bytes from 0x80.
    single: Box<[char]>,
    /// Second bytes from 0x40 of a first byte.
    double: Vec<Box<[char]>>,
    /// Third bytes from 0x40 of a second byte, where the first is 0x8F.
    triple: Vec<Box<[char]>>,
}

/// What the server writes for a code that has no character.
const UNKNOWN: char = '?';

/// A code that cannot be.
const NEVER: char = ' ';

static CODINGS: LazyLock<Vec<Coding>> = LazyLock::new(|| {
    let mut codings: Vec<Coding> = Vec::new();
    let ascii = (' '..='~').chain(std::iter::once('\x7f')).chain(std::iter::repeat_n(UNKNOWN, 128)).collect();
    codings.push(Coding { name: "ascii", way: Way::Single(ascii) });
    for (name, bytes, low_first, pairs) in
        [("ucs2", 2, false, false), ("utf16", 2, false, true), ("utf16le", 2, true, true), ("utf32", 4, false, false)]
    {
        codings.push(Coding { name, way: Way::Wide { bytes, low_first, pairs } });
    }
    for line in include_str!("single.txt").split('\n') {
        let Some((name, characters)) = line.split_once(' ') else { continue };
        codings.push(Coding { name, way: Way::Single(characters.chars().collect()) });
    }
    for line in include_str!("multi.txt").split('\n') {
        let Some((name, rest)) = line.split_once(' ') else { continue };
        let (code, characters) = rest.split_once(' ').unwrap_or((rest, ""));
        let characters: Box<[char]> = characters.chars().collect();
        if code == "80" {
            let rows = || vec![Box::<[char]>::default(); 256];
            let multi = Multi { single: characters, double: rows(), triple: rows() };
            codings.push(Coding { name, way: Way::Multi(multi) });
            continue;
        }
        let Some(Coding { way: Way::Multi(multi), .. }) = codings.last_mut() else { continue };
        let (rows, code) = match code.strip_prefix("8F") {
            Some(second) if !second.is_empty() => (&mut multi.triple, second),
            _ => (&mut multi.double, code),
        };
        if let Some(row) = usize::from_str_radix(code, 16).ok().and_then(|code| rows.get_mut(code)) {
            *row = characters;
        }
    }
    codings
});

/// The names of all that are decoded by a table or a rule.
pub fn names() -> impl Iterator<Item = &'static str> {
    CODINGS.iter().map(|coding| coding.name)
}

impl Coding {
    /// Appends the characters of a text. The error is the place of the first byte that cannot be.
    pub fn decode(&self, bytes: &[u8], out: &mut String) -> Result<(), usize> {
        match &self.way {
            Way::Single(table) => {
                out.extend(bytes.iter().map(|byte| match byte.checked_sub(0x20) {
                    Some(index) => table.get(usize::from(index)).copied().unwrap_or(UNKNOWN),
                    None => char::from(*byte),
                }));
                Ok(())
            }
            Way::Multi(multi) => multi.decode(bytes, out),
            Way::Wide { bytes: width, low_first, pairs } => wide(bytes, *width, *low_first, *pairs, out),
        }
    }
}

/// The character at an index of a row, or `None` where there cannot be one.
fn at(row: &[char], byte: u8, first: u8) -> Option<char> {
    let found = row.get(usize::from(byte.checked_sub(first)?)).copied()?;
    (found != NEVER).then_some(found)
}

impl Multi {
    fn decode(&self, bytes: &[u8], out: &mut String) -> Result<(), usize> {
        let mut place = 0;
        while let Some(rest) = bytes.get(place..).filter(|rest| !rest.is_empty()) {
            let (found, length) = self.next(rest).ok_or(place)?;
            out.push(found);
            place += length;
        }
        Ok(())
    }

    /// The first character and its length in bytes.
    fn next(&self, bytes: &[u8]) -> Option<(char, usize)> {
        let first = *bytes.first()?;
        if first < 0x80 {
            return Some((char::from(first), 1));
        }
        if let Some(found) = at(&self.single, first, 0x80) {
            return Some((found, 1));
        }
        let second = *bytes.get(1)?;
        if let Some(found) = self.double.get(usize::from(first)).and_then(|row| at(row, second, 0x40)) {
            return Some((found, 2));
        }
        let row = self.triple.get(usize::from(second)).filter(|_| first == 0x8f)?;
        Some((at(row, *bytes.get(2)?, 0x40)?, 3))
    }
}

fn wide(bytes: &[u8], width: usize, low_first: bool, pairs: bool, out: &mut String) -> Result<(), usize> {
    let mut units = bytes.chunks_exact(width).map(|unit| {
        let unit = if low_first { crate::bytes::little(unit) } else { crate::bytes::big(unit) };
        u32::try_from(unit).unwrap_or(u32::MAX)
    });
    let mut place = 0;
    while let Some(unit) = units.next() {
        let code = match unit {
            0xd800..=0xdbff if pairs => match units.next() {
                Some(low @ 0xdc00..=0xdfff) => 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00),
                _ => return Err(place),
            },
            0xdc00..=0xdfff if pairs => return Err(place),
            unit => unit,
        };
        // A lone half of a pair is no character, and the server says so in its way.
        out.push(char::from_u32(code).unwrap_or(UNKNOWN));
        place += if code > 0xffff && width == 2 { 4 } else { width };
    }
    if bytes.len().is_multiple_of(width) { Ok(()) } else { Err(place) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, bytes: &[u8]) -> Result<String, usize> {
        let mut out = String::new();
        Charset::by_name(name).decode(bytes, &mut out).map(|()| out)
    }

    #[test]
    fn texts_of_each_way_are_read() {
        for (name, bytes, expected) in [
            ("utf8mb4", "ü😀".as_bytes(), "ü😀"),
            ("latin1", &[0xe9, 0x80, 0x81], "é€\u{81}"),
            ("ascii", &[b'a', 0xc3, 0xbc], "a??"),
            ("swe7", b"[\\]{|}", "ÄÖÅäöå"),
            ("cp1251", &[0xcf, 0xf0, 0x98], "Пр?"),
            ("euckr", &[0xc7, 0xd1, b'a', 0xb1, 0xdb], "한a글"),
            ("sjis", &[0x83, 0x5c, 0xb1, b'\\'], "ソｱ\\"),
            ("ujis", &[0x8f, 0xb0, 0xa1, 0x8e, 0xb1], "丂ｱ"),
            ("gbk", &[0x81, 0x40, 0xd6, 0xd0], "丂中"),
            ("utf16", &[0xd8, 0x3d, 0xde, 0x00, 0x20, 0x20], "😀†"),
            ("utf16le", &[0x3d, 0xd8, 0x00, 0xde], "😀"),
            ("utf32", &[0, 1, 0xf6, 0], "😀"),
            ("ucs2", &[0x20, 0xac], "€"),
        ] {
            assert_eq!(text(name, bytes).as_deref(), Ok(expected), "{name}");
        }
    }

    #[test]
    fn what_cannot_be_is_told_with_its_place() {
        for (name, bytes, place) in [
            ("utf8mb4", &[b'a', 0xff][..], 1),
            ("gbk", &[b'a', 0x81], 1),
            ("gbk", &[0x81, 0x20], 0),
            ("utf16", &[0, b'a', 0xdc, 0], 2),
            ("utf16", &[0, b'a', 0xd8, 0], 2),
            ("ucs2", &[0, b'a', 0], 2),
            ("gb18030", b"a", 0),
        ] {
            assert_eq!(text(name, bytes), Err(place), "{name} {bytes:?}");
        }
    }

    #[test]
    fn collations_of_both_products_have_their_set() {
        let name = |collation| match Charset::by_collation(collation) {
            None => "binary",
            Some(Charset::Utf8) => "utf8",
            Some(Charset::Coded(coding)) => coding.name,
            Some(Charset::Other(_)) => "other",
        };
        assert_eq!([63, 2304, 2048, 255, 1069].map(name), ["binary", "utf8", "utf8", "utf8", "utf8"]);
        assert_eq!([2560, 2816, 3072, 28, 1112, 47].map(name), ["ucs2", "utf16", "utf32", "gbk", "sjis", "latin1"]);
        assert_eq!([249, 4000, 0].map(name), ["other", "other", "other"]);
    }
}
