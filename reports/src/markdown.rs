//! The little Markdown that pages of checks are written in, as HTML: headings, paragraphs, lists, `code`, *emphasis*. All else is text.

/// HTML of a page. Everything is escaped; headings become `h4` so that they fit under a finding.
pub(crate) fn html(page: &str) -> String {
    let mut out = String::new();
    let mut open: Option<&'static str> = None;
    let close = |open: &mut Option<&'static str>, out: &mut String| {
        if let Some(tag) = open.take() {
            out.push_str(if tag == "ul" { "</li></ul>\n" } else { "</p>\n" });
        }
    };
    for line in page.lines().map(str::trim) {
        if line.is_empty() {
            close(&mut open, &mut out);
        } else if let Some(heading) = line.strip_prefix('#') {
            close(&mut open, &mut out);
            out.push_str("<h4>");
            inline(heading.trim_start_matches('#').trim(), &mut out);
            out.push_str("</h4>\n");
        } else if let Some(item) = line.strip_prefix("- ").or_else(|| line.strip_prefix("* ")) {
            if open == Some("ul") {
                out.push_str("</li>\n<li>");
            } else {
                close(&mut open, &mut out);
                out.push_str("<ul><li>");
                open = Some("ul");
            }
            inline(item, &mut out);
        } else {
            if open.is_none() {
                out.push_str("<p>");
                open = Some("p");
            } else {
                out.push(' ');
            }
            inline(line, &mut out);
        }
    }
    close(&mut open, &mut out);
    out
}

/// Code spans first, for nothing inside them means anything; then emphasis.
fn inline(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('`') {
        let Some((code, tail)) = after.split_once('`') else { break };
        emphasis(before, out);
        out.push_str("<code>");
        escape(code, out);
        out.push_str("</code>");
        rest = tail;
    }
    emphasis(rest, out);
}

fn emphasis(text: &str, out: &mut String) {
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('*') {
        let Some((inside, tail)) = after.split_once('*').filter(|(i, _)| !i.is_empty() && !i.starts_with(' ')) else { break };
        escape(before, out);
        out.push_str("<em>");
        escape(inside, out);
        out.push_str("</em>");
        rest = tail;
    }
    escape(rest, out);
}

fn escape(text: &str, out: &mut String) {
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::html;

    #[track_caller]
    fn check(page: &str, expect: &str) {
        assert_eq!(html(page), expect);
    }

    #[test]
    fn renders() {
        check("# A *b*\nx `y<z>` & w\nmore", "<h4>A <em>b</em></h4>\n<p>x <code>y&lt;z&gt;</code> &amp; w more</p>\n");
        check("- one\n  two\n- three\n\nend", "<ul><li>one two</li>\n<li>three</li></ul>\n<p>end</p>\n");
        check("2 * 3 and `open", "<p>2 * 3 and `open</p>\n");
        check("<script>\n`</code><script>`", "<p>&lt;script&gt; <code>&lt;/code&gt;&lt;script&gt;</code></p>\n");
    }
}
