//! Puts HTML together. Markup is what the program's text says and nothing else: whatever comes from
//! a journal goes through [`Page::text`], which leaves no character that could be markup.

use std::fmt::{self, Write as _};

/// A page being written.
#[derive(Default)]
pub(super) struct Page(String);

impl Page {
    /// Markup, which only the program itself can give.
    pub fn raw(&mut self, markup: &'static str) -> &mut Self {
        self.0.push_str(markup);
        self
    }

    /// A text or a figure, in an element or in a quoted attribute.
    pub fn text(&mut self, text: impl fmt::Display) -> &mut Self {
        // Writing into a String can't fail.
        let _ = write!(Escape(&mut self.0), "{text}");
        self
    }

    /// An element around a text.
    pub fn wrap(
        &mut self,
        open: &'static str,
        text: impl fmt::Display,
        close: &'static str,
    ) -> &mut Self {
        self.raw(open).text(text).raw(close)
    }

    /// A section with its heading, and an anchor of the program's own.
    pub fn section(&mut self, heading: impl fmt::Display, content: impl FnOnce(&mut Self)) {
        self.raw("<section>\n").wrap("<h2>", heading, "</h2>\n");
        content(self);
        self.raw("</section>\n");
    }

    /// A term and what it says.
    pub fn term(&mut self, term: impl fmt::Display, text: impl fmt::Display) -> &mut Self {
        self.wrap("<div><dt>", term, "</dt><dd>").text(text).raw("</dd></div>\n")
    }

    pub fn finish(self) -> String {
        self.0
    }
}

struct Escape<'a>(&'a mut String);

impl fmt::Write for Escape<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                '\'' => self.0.push_str("&#39;"),
                '\n' | '\t' => self.0.push(c),
                // HTML knows no other control character; a reader should see that one is there.
                c if c.is_control() => self.0.push('\u{fffd}'),
                c => self.0.push(c),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let mut page = Page::default();
        page.wrap("<b>", "<script>\"'&\u{0}\u{1b}</script>", "</b>");
        assert_eq!(
            page.finish(),
            "<b>&lt;script&gt;&quot;&#39;&amp;\u{fffd}\u{fffd}&lt;/script&gt;</b>"
        );
    }
}
