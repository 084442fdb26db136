//! The one look at a request body: is it a JSON document that everybody down the line can keep?
//!
//! Stricter than the grammar where the store or the next reader would stumble: one document whose
//! top is an object or array, nesting of at most [`DEPTH_MAX`], integers of signed 64 bits, finite
//! floats, no unpaired surrogate escape, no byte order mark.

/// How deep arrays and objects may nest.
pub(crate) const DEPTH_MAX: u32 = 64;

/// Why a document was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// It is not JSON that this service takes.
    Syntax,
    /// It holds an integer beyond signed 64 bits.
    IntegerTooLarge,
}

/// Checks `bytes` and returns them as text.
///
/// Cost: one pass for UTF-8, one for JSON; no allocation.
pub(crate) fn check(bytes: &[u8]) -> Result<&str, Malformed> {
    let text = std::str::from_utf8(bytes).map_err(|_| Malformed::Syntax)?;
    let mut scanner = Scanner { bytes, at: 0 };
    scanner.blanks();
    match scanner.peek() {
        Some(b'{' | b'[') => scanner.value(0)?,
        _ => return Err(Malformed::Syntax),
    }
    scanner.blanks();
    if scanner.at == bytes.len() { Ok(text) } else { Err(Malformed::Syntax) }
}

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek().ok_or(Malformed::Syntax)?;
        self.at += 1;
        Ok(byte)
    }

    fn blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    /// One value; `depth` containers are open around it, so the recursion is bounded.
    fn value(&mut self, depth: u32) -> Result<(), Malformed> {
        match self.next()? {
            b'"' => self.string(),
            b'{' => self.object(deeper(depth)?),
            b'[' => self.array(deeper(depth)?),
            b't' => self.literal(b"rue"),
            b'f' => self.literal(b"alse"),
            b'n' => self.literal(b"ull"),
            b'-' | b'0'..=b'9' => {
                self.at -= 1;
                self.number()
            }
            _ => Err(Malformed::Syntax),
        }
    }

    fn literal(&mut self, rest: &[u8]) -> Result<(), Malformed> {
        let tail = self.bytes.get(self.at..).unwrap_or_default();
        if !tail.starts_with(rest) {
            return Err(Malformed::Syntax);
        }
        self.at += rest.len();
        Ok(())
    }

    fn object(&mut self, depth: u32) -> Result<(), Malformed> {
        self.blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            self.expect(b'"')?;
            self.string()?;
            self.blanks();
            self.expect(b':')?;
            self.blanks();
            self.value(depth)?;
            self.blanks();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(()),
                _ => return Err(Malformed::Syntax),
            }
        }
    }

    fn array(&mut self, depth: u32) -> Result<(), Malformed> {
        self.blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.blanks();
            self.value(depth)?;
            self.blanks();
            match self.next()? {
                b',' => {}
                b']' => return Ok(()),
                _ => return Err(Malformed::Syntax),
            }
        }
    }

    fn expect(&mut self, wanted: u8) -> Result<(), Malformed> {
        if self.next()? == wanted { Ok(()) } else { Err(Malformed::Syntax) }
    }

    /// The rest of a string whose opening quote is read.
    fn string(&mut self) -> Result<(), Malformed> {
        loop {
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            let stop = rest.iter().position(|&b| b == b'"' || b == b'\\' || b < 0x20);
            self.at += stop.ok_or(Malformed::Syntax)?;
            match self.next()? {
                b'"' => return Ok(()),
                b'\\' => self.escape()?,
                _ => return Err(Malformed::Syntax),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Malformed> {
        match self.next()? {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.hex4()? {
                0xD800..=0xDBFF => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    match self.hex4()? {
                        0xDC00..=0xDFFF => Ok(()),
                        _ => Err(Malformed::Syntax),
                    }
                }
                0xDC00..=0xDFFF => Err(Malformed::Syntax),
                _ => Ok(()),
            },
            _ => Err(Malformed::Syntax),
        }
    }

    fn hex4(&mut self) -> Result<u32, Malformed> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = char::from(self.next()?).to_digit(16).ok_or(Malformed::Syntax)?;
            code = code * 16 + digit;
        }
        Ok(code)
    }

    fn number(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.next()? {
            b'0' => {}
            b'1'..=b'9' => self.digits(),
            _ => return Err(Malformed::Syntax),
        }
        let mut float = false;
        if self.peek() == Some(b'.') {
            float = true;
            self.at += 1;
            self.digits_required()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            float = true;
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits_required()?;
        }
        let token = self.bytes.get(start..self.at).unwrap_or_default();
        let token = std::str::from_utf8(token).map_err(|_| Malformed::Syntax)?;
        if float { check_float(token) } else { check_integer(token) }
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn digits_required(&mut self) -> Result<(), Malformed> {
        let before = self.at;
        self.digits();
        if self.at > before { Ok(()) } else { Err(Malformed::Syntax) }
    }
}

fn deeper(depth: u32) -> Result<u32, Malformed> {
    if depth < DEPTH_MAX { Ok(depth + 1) } else { Err(Malformed::Syntax) }
}

fn check_integer(token: &str) -> Result<(), Malformed> {
    // Eighteen digits and a sign always fit.
    if token.len() <= 18 || token.parse::<i64>().is_ok() {
        Ok(())
    } else {
        Err(Malformed::IntegerTooLarge)
    }
}

fn check_float(token: &str) -> Result<(), Malformed> {
    match token.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(()),
        _ => Err(Malformed::Syntax),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    #[test]
    fn documents_that_the_grammar_allows_are_taken() {
        for good in [
            "{}",
            " [ ] ",
            "\t{\"a\" : [1, -0, 0.5e-3, true,false ,null, \"\\ud83d\\ude00\\u00e9\"]}\r\n",
            "[9223372036854775807, -9223372036854775808]",
            "[1e308, 1e-400, \"\u{7f}\u{e9}\"]",
        ] {
            assert_eq!(check(good.as_bytes()), Ok(good));
        }
    }

    #[test]
    fn what_nobody_could_read_back_is_refused() {
        for bad in [
            "",
            " ",
            ".",
            "1",
            "\"x\"",
            "null",
            "{",
            "[",
            "[1,]",
            "{\"a\":1,}",
            "{a:1}",
            "{} {}",
            "[01]",
            "[+1]",
            "[1.]",
            "[.5]",
            "[1e]",
            "[NaN]",
            "[Infinity]",
            "[-Infinity]",
            "[1e400]",
            "[\"\\x\"]",
            "[\"\\ud800\"]",
            "[\"\\udc00\"]",
            "[\"\\ud800\\u0041\"]",
            "[\"a\nb\"]",
            "[tru]",
            "\u{feff}{}",
        ] {
            assert_eq!(check(bad.as_bytes()), Err(Malformed::Syntax), "{bad:?}");
        }
        assert_eq!(check(b"[\"\xff\"]"), Err(Malformed::Syntax));
    }

    #[test]
    fn integers_beyond_64_bits_have_an_error_of_their_own() {
        for big in ["[9223372036854775808]", "{\"a\": [-9223372036854775809]}"] {
            assert_eq!(check(big.as_bytes()), Err(Malformed::IntegerTooLarge));
        }
    }

    #[test]
    fn nesting_ends_at_the_limit_however_deep_the_document_goes_on() {
        let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
        assert!(check(nested(64).as_bytes()).is_ok());
        assert_eq!(check(nested(65).as_bytes()), Err(Malformed::Syntax));
        assert_eq!(check("[".repeat(1_000_000).as_bytes()), Err(Malformed::Syntax));
        assert_eq!(check("{\"a\":".repeat(10_000).as_bytes()), Err(Malformed::Syntax));
    }

    /// What the checker must decide, told by a parser that somebody else wrote.
    fn oracle(text: &str) -> bool {
        fn fits(value: &Value, depth: u32) -> bool {
            match value {
                Value::Array(items) => depth < 64 && items.iter().all(|v| fits(v, depth + 1)),
                Value::Object(members) => {
                    depth < 64 && members.values().all(|v| fits(v, depth + 1))
                }
                _ => true,
            }
        }
        match serde_json::from_str::<Value>(text) {
            Ok(value @ (Value::Array(_) | Value::Object(_))) => fits(&value, 0),
            _ => false,
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(6, 64, 8, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..8).prop_map(Value::from),
                prop::collection::vec((any::<String>(), inner), 0..8)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_written_document_is_taken(value in any_json()) {
            for text in [
                Value::from(vec![value.clone()]).to_string(),
                serde_json::to_string_pretty(&vec![value]).unwrap(),
            ] {
                prop_assert_eq!(check(text.as_bytes()), Ok(text.as_str()));
            }
        }

        #[test]
        fn a_damaged_document_is_judged_as_another_parser_judges_it(
            value in any_json(),
            at in any::<prop::sample::Index>(),
            patch in "[\\[\\]{}:,\"\\\\u0-9eE.+ dDcC-]{0,3}",
        ) {
            let mut text: Vec<char> = Value::from(vec![value]).to_string().chars().collect();
            let place = at.index(text.len());
            text.splice(place..(place + 1).min(text.len()), patch.chars());
            let text: String = text.into_iter().collect();
            match check(text.as_bytes()) {
                Ok(_) => prop_assert!(oracle(&text), "taken: {}", text),
                Err(Malformed::Syntax) => prop_assert!(!oracle(&text), "refused: {}", text),
                // The other parser turns such integers into floats or unsigned ones.
                Err(Malformed::IntegerTooLarge) => {}
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(check(&bytes).is_ok(), std::str::from_utf8(&bytes).is_ok_and(oracle));
        }
    }
}
