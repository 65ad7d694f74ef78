//! XML out and, bounded, in.

use crate::error::{Code, S3Error};
use quick_xml::{
    Reader, Writer,
    events::{BytesDecl, BytesEnd, BytesStart, BytesText, Event},
};

const NAMESPACE: &str = "http://s3.amazonaws.com/doc/2006-03-01/";
/// Deeper than any request of S3.
const MAX_DEPTH: usize = 8;
/// Ten thousand parts of four elements, with room.
const MAX_ELEMENTS: usize = 65_536;

/// Writes one document. Writing goes to memory, where it cannot fail.
pub struct Xml {
    writer: Writer<Vec<u8>>,
    open: Vec<&'static str>,
}

impl std::fmt::Debug for Xml {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Xml").field("open", &self.open).finish_non_exhaustive()
    }
}

impl Xml {
    /// A document with this root in S3's namespace.
    pub fn document(root: &'static str) -> Self {
        Self::begin(root, Some(NAMESPACE))
    }

    /// An error's root is in no namespace.
    pub fn error() -> Self {
        Self::begin("Error", None)
    }

    fn begin(root: &'static str, namespace: Option<&str>) -> Self {
        let mut xml = Self { writer: Writer::new(Vec::with_capacity(1024)), open: vec![root] };
        xml.event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)));
        let mut start = BytesStart::new(root);
        if let Some(namespace) = namespace {
            start.push_attribute(("xmlns", namespace));
        }
        xml.event(Event::Start(start));
        xml
    }

    fn event(&mut self, event: Event<'_>) {
        // A Vec takes every write.
        let _ = self.writer.write_event(event);
    }

    pub fn open(&mut self, name: &'static str) -> &mut Self {
        self.event(Event::Start(BytesStart::new(name)));
        self.open.push(name);
        self
    }

    /// Closes what was opened last.
    pub fn close(&mut self) -> &mut Self {
        if let Some(name) = self.open.pop() {
            self.event(Event::End(BytesEnd::new(name)));
        }
        self
    }

    pub fn text(&mut self, name: &'static str, text: impl AsRef<str>) -> &mut Self {
        self.event(Event::Start(BytesStart::new(name)));
        self.event(Event::Text(BytesText::new(text.as_ref())));
        self.event(Event::End(BytesEnd::new(name)));
        self
    }

    /// Text of the element opened last.
    pub fn content(&mut self, text: &str) -> &mut Self {
        self.event(Event::Text(BytesText::new(text)));
        self
    }

    pub fn maybe(&mut self, name: &'static str, text: Option<impl AsRef<str>>) -> &mut Self {
        if let Some(text) = text {
            self.text(name, text);
        }
        self
    }

    pub fn finish(mut self) -> Vec<u8> {
        while !self.open.is_empty() {
            self.close();
        }
        self.writer.into_inner()
    }
}

/// An element of a request.
#[derive(Debug, Default)]
pub struct Element {
    pub name: String,
    pub text: String,
    pub children: Vec<Element>,
}

impl Element {
    /// The text of the child of that name.
    pub fn child(&self, name: &str) -> Option<&str> {
        self.children.iter().find(|child| child.name == name).map(|child| child.text.as_str())
    }
}

/// Parses a request body; its root must be `root`. Attributes and namespaces are ignored.
///
/// # Errors
/// [`Code::MalformedXML`], also for a document type declaration and beyond the bounds.
pub fn parse(body: &[u8], root: &str) -> Result<Element, S3Error> {
    let element = parse_tree(body).ok_or(Code::MalformedXML)?;
    if element.name == root { Ok(element) } else { Err(Code::MalformedXML.into()) }
}

fn parse_tree(body: &[u8]) -> Option<Element> {
    let mut reader = Reader::from_reader(body);
    // The element at the bottom is the document itself.
    let mut stack = vec![Element::default()];
    let mut elements = 0;
    loop {
        let event = reader.read_event().ok()?;
        match event {
            Event::Start(ref start) | Event::Empty(ref start) => {
                elements += 1;
                if stack.len() > MAX_DEPTH || elements > MAX_ELEMENTS {
                    return None;
                }
                let name = std::str::from_utf8(start.local_name().into_inner()).ok()?.to_owned();
                let element = Element { name, ..Element::default() };
                if matches!(event, Event::Start(_)) {
                    stack.push(element);
                } else {
                    stack.last_mut()?.children.push(element);
                }
            }
            Event::End(_) => {
                let element = stack.pop()?;
                stack.last_mut()?.children.push(element);
            }
            Event::Text(text) => stack.last_mut()?.text.push_str(&text.decode().ok()?),
            Event::CData(data) => stack.last_mut()?.text.push_str(&data.decode().ok()?),
            Event::GeneralRef(reference) => {
                let text = match reference.resolve_char_ref().ok()? {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_predefined_entity(&reference.decode().ok()?)?.to_owned(),
                };
                stack.last_mut()?.text.push_str(&text);
            }
            Event::DocType(_) => return None,
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    let mut document = stack.pop().filter(|_| stack.is_empty())?;
    if document.children.len() == 1 { document.children.pop() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_written_is_read() {
        let mut xml = Xml::document("Delete");
        xml.open("Object").text("Key", "a<&>\"'\u{e4}").close();
        let element = parse(&xml.finish(), "Delete").unwrap();
        assert_eq!(element.children[0].child("Key"), Some("a<&>\"'\u{e4}"));
    }

    #[test]
    fn references_and_cdata() {
        let element = parse(b"<r><a>&#x61;&amp;<![CDATA[<b>]]></a><e/></r>", "r").unwrap();
        assert_eq!(element.child("a"), Some("a&<b>"));
        assert_eq!(element.child("e"), Some(""));
    }

    #[test]
    fn refused() {
        for body in ["", "<a>", "<b/>", "<a/><a/>", "<a>&bomb;</a>", "<!DOCTYPE a [<!ENTITY x 'y'>]><a/>", "<a></b>"] {
            assert_eq!(parse(body.as_bytes(), "a").unwrap_err().code, Code::MalformedXML, "{body}");
        }
        assert!(parse("<a>".repeat(100).as_bytes(), "a").is_err());
        assert!(parse(format!("<a>{}</a>", "<b/>".repeat(MAX_ELEMENTS)).as_bytes(), "a").is_err());
    }

    proptest! {
        #[test]
        fn garbage_never_panics(body in "[<>/a!\\[\\]&;\"= -~]{0,80}") {
            let _ = parse(body.as_bytes(), "a");
        }
    }
}
