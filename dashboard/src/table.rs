//! Lists: a frame with a title, a line of heads, the rows around the selected one.

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Paragraph};

use crate::look::{Look, Tone};
use crate::words;

/// How wide a column is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Width {
    Fixed(usize),
    /// Parts of what is left.
    Rest(usize),
}

pub(crate) struct Column {
    head: &'static str,
    width: Width,
    /// Where words that do not fit are cut.
    fit: fn(&str, usize) -> String,
}

pub(crate) const fn column(head: &'static str, width: Width) -> Column {
    Column { head, width, fit: words::fit }
}

/// A column of peers, cut in the middle.
pub(crate) const fn peers(head: &'static str, width: Width) -> Column {
    Column { head, width, fit: words::fit_ends }
}

/// A cell's words and what they are.
pub(crate) type Words = (String, Tone);

pub(crate) struct List<'a> {
    pub(crate) title: String,
    pub(crate) columns: &'a [Column],
    pub(crate) len: usize,
    pub(crate) chosen: usize,
    /// Said where there are no rows.
    pub(crate) empty: &'a str,
}

/// Draws a list and says how many rows it has room for.
pub(crate) fn draw(frame: &mut Frame<'_>, area: Rect, look: Look, list: &List<'_>, row: impl Fn(usize) -> Vec<Words>) -> usize {
    let at = if list.len == 0 { String::new() } else { format!(" {}/{} ", list.chosen + 1, list.len) };
    let block = block(look, &list.title).title_bottom(Line::from(at).right_aligned());
    let inner = block.inner(area);
    frame.render_widget(block, area);
    let room = usize::from(inner.height.saturating_sub(1));
    if list.len == 0 {
        frame.render_widget(Paragraph::new(Span::styled(format!(" {}", list.empty), look.style(Tone::Faint))), inner);
        return room;
    }
    let widths = widths(list.columns, usize::from(inner.width));
    let heads = list.columns.iter().zip(&widths).map(|(c, w)| words::cell(c.head, *w)).collect::<Vec<_>>().join(" ");
    let mut lines = vec![Line::from(vec![Span::raw(" "), Span::styled(heads, look.style(Tone::Head))])];
    for i in window(list.len, list.chosen, room) {
        lines.push(line(look, &row(i), list.columns, &widths, i == list.chosen));
    }
    frame.render_widget(Paragraph::new(lines), inner);
    room
}

fn line(look: Look, cells: &[Words], columns: &[Column], widths: &[usize], chosen: bool) -> Line<'static> {
    let mut spans = vec![Span::raw(if chosen { "›" } else { " " })];
    for (i, (((text, tone), column), width)) in cells.iter().zip(columns).zip(widths).enumerate() {
        if i > 0 {
            spans.push(Span::raw(" "));
        }
        spans.push(Span::styled(words::cell(&(column.fit)(text, *width), *width), look.style(*tone)));
    }
    let line = Line::from(spans);
    if chosen { line.patch_style(look.style(Tone::Chosen)) } else { line }
}

fn widths(columns: &[Column], width: usize) -> Vec<usize> {
    let fixed: usize = columns.iter().map(|c| if let Width::Fixed(w) = c.width { w } else { 0 }).sum();
    let parts: usize = columns.iter().map(|c| if let Width::Rest(p) = c.width { p } else { 0 }).sum();
    // One column of gutter, one between any two.
    let left = width.saturating_sub(fixed + columns.len());
    columns
        .iter()
        .map(|c| match c.width {
            Width::Fixed(w) => w,
            Width::Rest(p) => left * p / parts.max(1),
        })
        .collect()
}

/// The rows to draw: those around the chosen one, without blank space at either end.
pub(crate) fn window(len: usize, chosen: usize, room: usize) -> std::ops::Range<usize> {
    let start = chosen.saturating_sub(room / 2).min(len.saturating_sub(room));
    start..(start + room).min(len)
}

/// A frame with a title.
pub(crate) fn block(look: Look, title: &str) -> Block<'static> {
    Block::bordered().border_style(look.style(Tone::Faint)).title(Span::styled(format!(" {title} "), look.style(Tone::Title)))
}

/// The title of a list that may be filtered.
pub(crate) fn title(name: &str, filter: &str) -> String {
    if filter.is_empty() { name.to_owned() } else { format!("{name} · only with “{}”", words::inert(filter)) }
}

/// All words of the filter are somewhere in the row, in any case.
pub(crate) fn matches(filter: &str, row: impl FnOnce() -> String) -> bool {
    if filter.trim().is_empty() {
        return true;
    }
    let row = row().to_lowercase();
    filter.to_lowercase().split_whitespace().all(|word| row.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_hold_the_chosen_row() {
        for (len, chosen, room, expect) in
            [(0, 0, 5, 0..0), (3, 2, 5, 0..3), (10, 0, 4, 0..4), (10, 9, 4, 6..10), (10, 5, 4, 3..7), (10, 5, 0, 5..5)]
        {
            assert_eq!(window(len, chosen, room), expect, "{chosen} of {len} in {room}");
        }
    }

    #[test]
    fn filters_by_words() {
        for (filter, expect) in [("", true), ("  ", true), ("API", true), ("test api", true), ("api nothing", false)] {
            assert_eq!(matches(filter, || "api.shop.test".to_owned()), expect, "{filter}");
        }
    }
}
