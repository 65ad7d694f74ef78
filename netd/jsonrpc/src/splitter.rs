//! Where a JSON text ends in a stream of them.

use std::ops::Range;

/// What one message may cost. Parsed JSON takes far more memory than its text (a value 32 bytes, an object with one member some
/// 600), so values and objects are counted before a text is parsed at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    pub message_bytes: usize,
    pub values: usize,
    pub objects: usize,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    #[error("a message is longer than {0} bytes")]
    TooLong(usize),
    #[error("a message has more than {0} values")]
    TooManyValues(usize),
    #[error("a message has more than {0} objects")]
    TooManyObjects(usize),
    #[error("byte {0:#04x} where a message should begin")]
    NoObject(u8),
}

/// Takes bytes as they come and gives the texts in them. It looks at each byte once, however small the pieces are.
#[derive(Debug)]
pub struct Splitter {
    limits: Limits,
    buffer: Vec<u8>,
    /// Where the text that is being read begins, and how far it was looked at.
    start: usize,
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
    values: usize,
    objects: usize,
}

impl Splitter {
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            buffer: Vec::new(),
            start: 0,
            scanned: 0,
            depth: 0,
            in_string: false,
            escaped: false,
            values: 0,
            objects: 0,
        }
    }

    /// Adds bytes. The caller takes out all texts before it adds more, so that the buffer holds less than one of them.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
        } else {
            self.buffer.drain(..self.start);
        }
        self.scanned -= self.start;
        self.start = 0;
        if self.buffer.is_empty() && self.buffer.capacity() > self.limits.message_bytes / 16 {
            // A large message is rare: its memory is not kept.
            self.buffer = Vec::new();
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and not ended.
    pub fn is_inside(&self) -> bool {
        self.depth > 0
    }

    /// The next whole text. After an error the stream is of no use any more.
    pub fn next_text(&mut self) -> Result<Option<&[u8]>, SplitError> {
        let Some(range) = self.scan()? else { return Ok(None) };
        Ok(self.buffer.get(range))
    }

    fn scan(&mut self) -> Result<Option<Range<usize>>, SplitError> {
        while let Some(&byte) = self.buffer.get(self.scanned) {
            self.scanned += 1;
            if self.depth == 0 {
                match byte {
                    b' ' | b'\t' | b'\r' | b'\n' => self.start = self.scanned,
                    b'{' => self.open(byte)?,
                    other => return Err(SplitError::NoObject(other)),
                }
                continue;
            }
            if self.scanned - self.start > self.limits.message_bytes {
                return Err(SplitError::TooLong(self.limits.message_bytes));
            }
            if self.in_string {
                match byte {
                    _ if self.escaped => self.escaped = false,
                    b'\\' => self.escaped = true,
                    b'"' => self.in_string = false,
                    _ => {}
                }
                continue;
            }
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.open(byte)?,
                b',' | b':' => self.count_value()?,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        let text = self.start..self.scanned;
                        self.start = self.scanned;
                        self.values = 0;
                        self.objects = 0;
                        return Ok(Some(text));
                    }
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn open(&mut self, byte: u8) -> Result<(), SplitError> {
        self.depth += 1;
        if byte == b'{' {
            self.objects += 1;
            if self.objects > self.limits.objects {
                return Err(SplitError::TooManyObjects(self.limits.objects));
            }
        }
        self.count_value()
    }

    /// Every value but the first of an array or object stands behind a comma or a colon; the first is counted with its bracket.
    fn count_value(&mut self) -> Result<(), SplitError> {
        self.values += 1;
        if self.values > self.limits.values {
            return Err(SplitError::TooManyValues(self.limits.values));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { message_bytes: 100, values: 20, objects: 5 };

    fn split(pieces: &[&[u8]]) -> Result<Vec<String>, SplitError> {
        let mut splitter = Splitter::new(LIMITS);
        let mut texts = Vec::new();
        for piece in pieces {
            splitter.push(piece);
            while let Some(text) = splitter.next_text()? {
                texts.push(String::from_utf8_lossy(text).into_owned());
            }
        }
        Ok(texts)
    }

    #[test]
    fn texts_follow_each_other_with_and_without_blanks() {
        let texts = split(&[br#"{"a":1}{"b":"}\"{"} "#, b"\n{}"]).unwrap();
        assert_eq!(texts, [r#"{"a":1}"#, r#"{"b":"}\"{"}"#, "{}"]);
    }

    #[test]
    fn limits_hold() {
        assert_eq!(split(&[b"[1]"]), Err(SplitError::NoObject(b'[')));
        assert_eq!(split(&[b"{\"", &[b'a'; 100]]), Err(SplitError::TooLong(100)));
        assert_eq!(
            split(&[b"{\"a\":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19]}"]),
            Err(SplitError::TooManyValues(20))
        );
        assert_eq!(split(&[b"{\"a\":[{},{},{},{},{}]}"]), Err(SplitError::TooManyObjects(5)));
    }

    proptest! {
        #[test]
        fn pieces_do_not_matter(strings in prop::collection::vec("[a-z{}\\[\\]\"\\\\é]{0,6}", 1..5), cuts in prop::collection::vec(1usize..7, 1..30)) {
            let texts: Vec<String> = strings.iter().map(|s| serde_json::json!({ "k": s }).to_string()).collect();
            let stream = texts.concat().into_bytes();
            let mut pieces = Vec::new();
            let mut rest = stream.as_slice();
            for &cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (piece, next) = rest.split_at(cut.min(rest.len()));
                pieces.push(piece);
                rest = next;
            }
            prop_assert_eq!(split(&pieces).unwrap(), texts);
        }

        #[test]
        fn garbage_neither_panics_nor_is_kept(pieces in prop::collection::vec(prop::collection::vec(prop::sample::select(b"{}[]\",:\\a1 ".to_vec()), 0..40), 0..20)) {
            let mut splitter = Splitter::new(LIMITS);
            for piece in &pieces {
                splitter.push(piece);
                loop {
                    match splitter.next_text() {
                        Ok(Some(text)) => prop_assert!(text.len() <= LIMITS.message_bytes),
                        Ok(None) => break,
                        Err(_) => return Ok(()),
                    }
                }
                prop_assert!(splitter.buffer.len() - splitter.start <= LIMITS.message_bytes);
            }
        }
    }
}
