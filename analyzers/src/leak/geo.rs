//! Positions in degrees, minutes and seconds: what receivers say (NMEA 0183), what pictures hold (Exif, XMP), and what people read.
//!
//! Each way has a mark that is rare elsewhere, and where it is missing nothing more is done.

use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use smallvec::SmallVec;

use super::shapes::{FAR, Place, precision};
use super::signs::Signs;

/// A message has no more of a mark than this, or is hostile.
const MOST: usize = 256;
/// 110 m: less says too little.
const LEAST: f64 = 1000.0;
/// An Exif directory of a camera has some forty entries.
const ENTRIES: usize = 256;
/// Degrees and minutes with a decimal, `3.1` at least.
const LEAST_MINUTES: usize = 3;
/// No number of an angle is longer.
const DIGITS: usize = 16;

static SENTENCE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"$G"));
static NORTH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b",N,"));
static SOUTH: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b",S,"));
static EXIF: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"Exif\0\0"));
static XMP: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b"GPSL"));
static DEGREE: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("°"));
static DEG: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(b" deg "));

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Axis {
    Latitude,
    Longitude,
}

/// An angle in a text: which of the two, if it says so; `scale`: how many of its steps are a degree.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    span: Range<usize>,
    axis: Option<Axis>,
    degrees: f64,
    scale: f64,
}

/// Planted positions that stand in a text in one of these ways.
pub(super) fn positions(text: &[u8], signs: Signs, places: &[Place], sink: &mut dyn FnMut(u32, Range<usize>, &'static str)) {
    if places.is_empty() {
        return;
    }
    let mut seen = Seen { places, known: SmallVec::from_elem([None, None], places.len()), sink };
    if signs.has(Signs::DIGIT) {
        if signs.has(Signs::DOLLAR) {
            for at in SENTENCE.find_iter(text).take(MOST) {
                sentence(text, at, &mut |told| seen.take(&told));
            }
        }
        if signs.has(Signs::GPS) {
            for at in XMP.find_iter(text).take(MOST) {
                seen.take_all(attribute(text, at));
            }
        }
        if signs.has(Signs::WIDE) {
            for at in DEGREE.find_iter(text).take(MOST) {
                seen.take_all(read(text, at, at + 2).unwrap_or_default());
            }
        }
        // What trackers say outside of such sentences: the same fields behind each other.
        for at in NORTH.find_iter(text).chain(SOUTH.find_iter(text)).take(MOST) {
            let field = text[..at].iter().rev().take(DIGITS).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
            if field >= LEAST_MINUTES {
                sentence(text, at - field, &mut |told| seen.take(&told));
            }
        }
        for at in DEG.find_iter(text).take(MOST) {
            seen.take_all(read(text, at, at + 5).unwrap_or_default());
        }
    }
    if signs.has(Signs::ZERO) {
        for at in EXIF.find_iter(text).take(MOST) {
            let (from, tiff) = (at + 6, text.get(at + 6..).unwrap_or_default());
            if let Some([latitude, longitude]) = Tiff::read(tiff).and_then(Tiff::position) {
                let shift = |told: Told| Told { span: told.span.start + from..told.span.end + from, ..told };
                seen.take(&shift(latitude));
                seen.take(&shift(longitude));
            }
        }
    }
}

/// Of each place, the last angle that was its latitude, and the last that was its longitude.
struct Seen<'a> {
    places: &'a [Place],
    known: SmallVec<[[Option<Told>; 2]; 4]>,
    sink: &'a mut dyn FnMut(u32, Range<usize>, &'static str),
}

impl Seen<'_> {
    fn take_all(&mut self, told: impl IntoIterator<Item = Told>) {
        for told in told {
            self.take(&told);
        }
    }

    fn take(&mut self, told: &Told) {
        if told.scale < LEAST {
            return;
        }
        for ((n, place), known) in (0u32..).zip(self.places).zip(&mut self.known) {
            for (mine, axis, angle) in [(0, Axis::Latitude, place.latitude), (1, Axis::Longitude, place.longitude)] {
                if told.axis.is_some_and(|said| said != axis) || !angle.is_in_steps(told.degrees, told.scale) {
                    continue;
                }
                if let Some(other) = &known[1 - mine] {
                    let (start, end) = (other.span.start.min(told.span.start), other.span.end.max(told.span.end));
                    if end - start <= FAR {
                        let decimals = told.scale.min(other.scale).log10().clamp(0.0, 9.0) as usize;
                        (self.sink)(n, start..end, precision(decimals));
                    }
                }
                known[mine] = Some(told.clone());
            }
        }
    }
}

/// A number at the start of a text: its value, its decimals, its length.
fn number(text: &[u8]) -> Option<(f64, usize, usize)> {
    let len = text.iter().take(DIGITS + 1).take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let number = std::str::from_utf8(text.get(..len)?).ok().filter(|_| len <= DIGITS)?;
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    Some((number.parse().ok()?, decimals, len))
}

fn tenth(decimals: usize) -> f64 {
    10f64.powi(decimals as i32)
}

/// Which axis a letter says, and whether it is the negative half.
fn half(letter: Option<&u8>) -> Option<(Axis, bool)> {
    Some(match letter? {
        b'N' => (Axis::Latitude, false),
        b'S' => (Axis::Latitude, true),
        b'E' => (Axis::Longitude, false),
        b'W' => (Axis::Longitude, true),
        _ => return None,
    })
}

/// The angles of an NMEA sentence: `5231.2004,N,01324.2972,E` in fields behind each other.
fn sentence(text: &[u8], at: usize, each: &mut dyn FnMut(Told)) {
    // NMEA 0183 allows 82 characters.
    let line = text.get(at..(at + 100).min(text.len())).unwrap_or_default();
    let mut before = 0..0;
    let mut from = 0;
    for field in line.split(|b| matches!(b, b',' | b'*' | b'\r' | b'\n')) {
        let span = from..from + field.len();
        from = span.end + 1;
        if let ([_], Some((axis, minus))) = (field, half(field.first()))
            && let Some((whole, decimals, len)) = number(&line[before.clone()])
            && len == before.len()
            && decimals > 0
        {
            let degrees = (whole / 100.0).trunc();
            let degrees = degrees + (whole - degrees * 100.0) / 60.0;
            let span = at + before.start..at + span.end;
            each(Told { span, axis: Some(axis), degrees: if minus { -degrees } else { degrees }, scale: 60.0 * tenth(decimals) });
        }
        before = span;
    }
}

/// `GPSLatitude="52,31.2004N"`, in seconds `52,31,12N` (XMP part 2, GPSCoordinate); in an element as in an attribute.
fn attribute(text: &[u8], at: usize) -> Option<Told> {
    let rest = text.get(at..)?;
    let name = [&b"GPSLatitude"[..], b"GPSLongitude"].into_iter().find(|name| rest.starts_with(name))?;
    let gap = rest.get(name.len()..)?.iter().take(4).position(u8::is_ascii_digit)?;
    let start = name.len() + gap;
    let (degrees, _, len) = number(rest.get(start..)?)?;
    let mut end = start + len;
    let (mut sum, mut unit, mut scale) = (degrees, 1.0, 1.0);
    while rest.get(end) == Some(&b',') && unit < 3600.0 {
        let (part, decimals, len) = number(rest.get(end + 1..)?)?;
        unit *= 60.0;
        (sum, scale) = (sum + part / unit, unit * tenth(decimals));
        end += 1 + len;
    }
    let (axis, minus) = half(rest.get(end))?;
    Some(Told { span: at + start..at + end + 1, axis: Some(axis), degrees: if minus { -sum } else { sum }, scale })
}

/// `52°31'12.3"N`, `N 52° 31.2004'`, with the signs of typography too: around a degree sign that stands at `sign` and ends at `after`.
fn read(text: &[u8], sign: usize, after: usize) -> Option<SmallVec<[Told; 2]>> {
    let head = text.get(..sign)?;
    let digits = head.iter().rev().take(4).take_while(|b| b.is_ascii_digit()).count();
    let start = sign - digits;
    let degrees: f64 = std::str::from_utf8(head.get(start..)?).ok().filter(|_| (1..=3).contains(&digits))?.parse().ok()?;
    let (mut sum, mut scale, mut end) = (degrees, 1.0, after);
    for (unit, marks) in [(60.0, &["'", "\u{2032}", "\u{2019}", "min"][..]), (3600.0, &["\"", "\\\"", "''", "\u{2033}", "\u{201d}", "sec"])]
    {
        let from = end + blanks(text, end);
        let Some((part, decimals, len)) = number(text.get(from..)?) else { break };
        let rest = text.get(from + len..)?;
        let blank = blanks(text, from + len);
        let mark = marks.iter().find(|mark| rest.get(blank..).is_some_and(|rest| rest.starts_with(mark.as_bytes())))?;
        (sum, scale) = (sum + part / unit, unit * tenth(decimals));
        end = from + len + blank + mark.len();
    }
    // The letter stands behind, or in front; where it is between two angles, nobody knows whose it is.
    let behind = end + blanks(text, end);
    let part = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_alphanumeric);
    let before = (start - head.get(..start)?.iter().rev().take(2).take_while(|b| **b == b' ').count()).checked_sub(1);
    let behind = half(text.get(behind)).filter(|_| !part(Some(behind + 1)));
    let ahead = before.and_then(|at| half(head.get(at))).filter(|_| !part(before.and_then(|at| at.checked_sub(1))));
    let told = |axis, minus| Told { span: start..end, axis, degrees: if minus { -sum } else { sum }, scale };
    let minus = head.get(..start)?.last() == Some(&b'-');
    let mut out: SmallVec<[Told; 2]> = [behind, ahead].into_iter().flatten().map(|(axis, minus)| told(Some(axis), minus)).collect();
    if out.is_empty() {
        out.push(told(None, minus));
    }
    Some(out)
}

fn blanks(text: &[u8], at: usize) -> usize {
    usize::from(text.get(at) == Some(&b' '))
}

/// The directory of a picture (TIFF 6.0 §2, Exif 2.32 §4.6.6).
#[derive(Clone, Copy, Debug)]
struct Tiff<'a> {
    bytes: &'a [u8],
    big: bool,
}

/// Tags of Exif: where the directory of the position stands, and the four of it.
const GPS: u16 = 0x8825;
const LATITUDE: [u16; 2] = [1, 2];
const LONGITUDE: [u16; 2] = [3, 4];

impl<'a> Tiff<'a> {
    fn read(bytes: &'a [u8]) -> Option<Tiff<'a>> {
        match bytes {
            [b'I', b'I', 42, 0, ..] => Some(Tiff { bytes, big: false }),
            [b'M', b'M', 0, 42, ..] => Some(Tiff { bytes, big: true }),
            _ => None,
        }
    }

    fn short(self, at: usize) -> Option<u16> {
        let two = *self.bytes.get(at..)?.first_chunk::<2>()?;
        Some(if self.big { u16::from_be_bytes(two) } else { u16::from_le_bytes(two) })
    }

    fn long(self, at: usize) -> Option<u32> {
        let four = *self.bytes.get(at..)?.first_chunk::<4>()?;
        Some(if self.big { u32::from_be_bytes(four) } else { u32::from_le_bytes(four) })
    }

    /// Where the value of a tag stands in a directory: in the entry, or its offset.
    fn entry(self, directory: usize, tag: u16) -> Option<usize> {
        let count = usize::from(self.short(directory)?).min(ENTRIES);
        (0..count).map(|n| directory + 2 + n * 12).find(|at| self.short(*at) == Some(tag)).map(|at| at + 8)
    }

    fn position(self) -> Option<[Told; 2]> {
        let gps = self.long(self.entry(self.long(4)? as usize, GPS)?)? as usize;
        Some([self.angle(gps, LATITUDE)?, self.angle(gps, LONGITUDE)?])
    }

    /// Degrees, minutes and seconds, a fraction each.
    fn angle(self, gps: usize, [letter, value]: [u16; 2]) -> Option<Told> {
        let (axis, minus) = half(self.bytes.get(self.entry(gps, letter)?))?;
        let at = self.long(self.entry(gps, value)?)? as usize;
        let (mut sum, mut scale) = (0.0, 0f64);
        for (n, unit) in [1.0, 60.0, 3600.0].into_iter().enumerate() {
            let at = at.checked_add(n * 8)?;
            let (over, under) = (f64::from(self.long(at)?), f64::from(self.long(at + 4)?));
            if under > 0.0 {
                (sum, scale) = (sum + over / under / unit, scale.max(unit * under));
            }
        }
        Some(Told { span: at..at + 24, axis: Some(axis), degrees: if minus { -sum } else { sum }, scale })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(planted: &str, text: &[u8]) -> bool {
        let places: Vec<Place> = Place::parse(0, planted).into_iter().collect();
        let mut got = false;
        positions(text, Signs::of(text), &places, &mut |_, span, _| got |= text.get(span).is_some());
        got
    }

    #[track_caller]
    fn check(planted: &str, rows: &[(&str, bool)]) {
        for (text, expect) in rows {
            assert_eq!(told(planted, text.as_bytes()), *expect, "{planted}: {text}");
        }
    }

    const BERLIN: &str = "52.520008,13.404954";
    const ANDES: &str = "-33.856784,-70.215297";

    #[test]
    fn sentences_of_receivers() {
        check(
            BERLIN,
            &[
                ("$GPRMC,101010.00,A,5231.20048,N,01324.29724,E,0.1,,301126,,,A*6C\r\n", true),
                ("$GNGGA,101010.00,5231.2005,N,01324.2972,E,1,08,0.9,34.0,M,47.0,M,,*47", true),
                ("x=$GPGLL,5231.200,N,01324.297,E,101010,A*1D", true),
                ("$GPRMC,101010.00,A,5231.20248,N,01324.29724,E,0.1", false),
                ("$GPRMC,101010.00,A,5231.20048,S,01324.29724,E,0.1", false),
                ("$GPRMC,101010.00,A,5231.20048,N,01324.29724,W,0.1", false),
                ("$GPRMC,101010.00,A,5231.20048,N,01324.29924,E,0.1", false),
                ("$GNGGA,101010.00,5231.2006,N,01324.2972,E,1,08", false),
                ("$GPRMC,101010.00,V,,,,,,,301126", false),
                ("GPRMC,101010.00,A,5231.20048,N,01324.29724,E", true),
                ("a,5231.20048,N,x", false),
            ],
        );
        check(ANDES, &[("$GPRMC,1,A,3351.40704,S,07012.91782,W,0", true), ("$GPRMC,1,A,3351.40704,N,07012.91782,E,0", false)]);
    }

    #[test]
    fn angles_that_people_read() {
        check(
            BERLIN,
            &[
                ("{\"ll\":\"52°31'12.03\\\"N 13°24'17.83\\\"E\"}", true),
                ("52°31′12.0″N, 13°24′17.8″E", true),
                ("N 52° 31' 12.03\" E 13° 24' 17.83\"", true),
                ("52° 31.20048' N, 13° 24.29724' E", true),
                ("52 deg 31' 12.03\" N, 13 deg 24' 17.83\" E", true),
                ("52°31'12\"N 13°24'17\"E", true),
                ("52°31'12.03\" 13°24'17.83\"", true),
                ("52°31'13\"N 13°24'17\"E", false),
                ("52°31'12.13\"N 13°24'17.83\"E", false),
                ("52°31'12.03\"S 13°24'17.83\"E", false),
                ("52°31'12.03\"N 13°24'17.83\"W", false),
                ("52°31'N 13°24'E", false),
                ("52°31'12.03\"N", false),
                ("52°C, 13°C", false),
            ],
        );
        check(ANDES, &[("33°51'24.4\"S 70°12'55.1\"W", true), ("-33°51'24.4\" -70°12'55.1\"", true), ("33°51'24.4\" 70°12'55.1\"", false)]);
    }

    #[test]
    fn words_of_pictures() {
        check(
            BERLIN,
            &[
                ("<r exif:GPSLatitude=\"52,31.20048N\" exif:GPSLongitude=\"13,24.29724E\"/>", true),
                ("<exif:GPSLatitude>52,31.2005N</exif:GPSLatitude><exif:GPSLongitude>13,24.2972E</exif:GPSLongitude>", true),
                ("GPSLongitude='13,24,18E' GPSLatitude='52,31,12N'", true),
                ("<r exif:GPSLatitude=\"52,31.20248N\" exif:GPSLongitude=\"13,24.29724E\"/>", false),
                ("<r exif:GPSLatitude=\"52,31N\" exif:GPSLongitude=\"13,24E\"/>", false),
                ("<r exif:GPSLatitudeRef=\"N\" exif:GPSLatitude=\"52,31.20048N\"/>", false),
            ],
        );
    }

    /// A picture with the directory of a position: letters, and fractions of degrees, minutes and seconds.
    fn picture(big: bool, letters: [u8; 2], angles: [[(u32, u32); 3]; 2]) -> Vec<u8> {
        let short = |n: u16| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let long = |n: u32| if big { n.to_be_bytes() } else { n.to_le_bytes() };
        let mut out = b"\xff\xd8\xff\xe1\0\xb4Exif\0\0".to_vec();
        let mut tiff = [if big { &b"MM"[..] } else { b"II" }, &short(42), &long(8)].concat();
        let entry = |tag: u16, kind: u16, count: u32, value: [u8; 4]| [&short(tag)[..], &short(kind), &long(count), &value].concat();
        tiff.extend([&short(2)[..], &entry(0x0112, 3, 1, [0; 4]), &entry(GPS, 4, 1, long(38)), &[0; 4]].concat());
        tiff.extend(short(4));
        for (n, letter) in letters.into_iter().enumerate() {
            let n = n as u16;
            tiff.extend(entry(1 + 2 * n, 2, 2, [letter, 0, 0, 0]));
            tiff.extend(entry(2 + 2 * n, 5, 3, long(92 + 24 * u32::from(n))));
        }
        tiff.extend([0; 4]);
        for (over, under) in angles.into_iter().flatten() {
            tiff.extend([long(over), long(under)].concat());
        }
        out.extend(tiff);
        out.extend(b"\xff\xdb\0\x43");
        out
    }

    #[test]
    fn pictures() {
        let exact = [[(52, 1), (31, 1), (1_202_880, 100_000)], [(13, 1), (24, 1), (1_783_440, 100_000)]];
        let berlin = [[(52, 1), (31, 1), (1203, 100)], [(13, 1), (24, 1), (1783, 100)]];
        let minutes = [[(52, 1), (3_120_048, 100_000), (0, 1)], [(13, 1), (2_429_724, 100_000), (0, 1)]];
        let other = [[(52, 1), (31, 1), (1213, 100)], [(13, 1), (24, 1), (1783, 100)]];
        let zero = [[(52, 0), (31, 0), (0, 0)], [(0, 0), (0, 0), (0, 0)]];
        for big in [false, true] {
            for (angles, letters, expect) in [
                (berlin, *b"NE", true),
                (minutes, *b"NE", true),
                (exact, *b"NE", true),
                (other, *b"NE", false),
                (berlin, *b"SE", false),
                (berlin, *b"NW", false),
                (berlin, *b"XY", false),
                (zero, *b"NE", false),
            ] {
                let picture = picture(big, letters, angles);
                assert_eq!(told(BERLIN, &picture), expect, "{angles:?} {big}");
                for len in 0..picture.len() {
                    let _ = told(BERLIN, &picture[..len]);
                }
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_survived(text in "[$GNPSEW0-9.,'\"° -]{0,60}", cut in 0usize..60, far: [u8; 8]) {
            let _ = told(BERLIN, text.as_bytes());
            let _ = told(BERLIN, text.as_bytes().get(cut..).unwrap_or_default());
            let _ = told(BERLIN, &[&b"Exif\0\0II*\0"[..], &far, text.as_bytes()].concat());
        }
    }
}
