//! The engine as a whole: every coding, the cases other tools miss, masks that hold, bombs that do not burst.
//! Long, for it has a row for each coding, each accident and each spelling.

use std::io::Write as _;

use proptest::prelude::*;

use super::*;
use crate::encode::{base64, sha256};
use crate::observation::Grade;

const EMAIL: &str = "anna.quist@example.org";
const IMEI: &str = "490154203237518";

fn persona() -> Vec<Seed> {
    let seed = |name: &str, kind, value: &str| Seed { name: name.into(), kind, value: value.into() };
    vec![
        seed("email-main", Kind::Email, EMAIL),
        seed("imei-1", Kind::Imei, IMEI),
        seed("imsi-1", Kind::Imsi, "228011234567890"),
        seed("wifi", Kind::Mac, "a4:5e:60:c1:22:9b"),
        seed("ad", Kind::AdId, "38400000-8cf0-11bd-b23e-10b96e40000d"),
        seed("android", Kind::AndroidId, "a375db57ef62d1c5"),
        seed("phone", Kind::Msisdn, "+41791234567"),
        seed("owner", Kind::PersonName, "Greta Zimmerli"),
        seed("serial", Kind::Serial, "R58M12ABCDE"),
        seed("secret", Kind::Password, "Tr0ub4dor&3!"),
        seed("home", Kind::Position, "47.376887,8.541694"),
        seed("canary", Kind::Text, "Zebra-Lantern-42/ü"),
        seed("born", Kind::BirthDate, "1985-12-25"),
        seed("network", Kind::Ssid, "Quists Home 5G"),
    ]
}

fn engine() -> &'static Engine {
    static ENGINE: std::sync::OnceLock<Engine> = std::sync::OnceLock::new();
    ENGINE.get_or_init(|| Engine::new(persona(), &[7; 32]))
}

/// A position wherever its two numbers stand in a text, and however a program printed them; not half of one, and no other.
#[test]
fn positions_in_any_order_and_precision() {
    for text in [
        "47.376887,8.541694",
        "lat=47.37689&alt=408.132&t=1732891022&lon=8.54169",
        "{\"y\":47.376887,\"z\":170.123,\"acc\":12.0001,\"x\":8.541694}",
        "<key>Longitude</key><real>8.5416939</real><key>LocationProvider</key><string>gps and a long name that fills more than the sixty-four bytes</string><key>Latitude</key><real>47.3768867</real>",
        "47.37688827514648 8.541693687438965",
        "47.377,8.542",
        "473768870 85416940",
        "{\"lat\":4.7376887e1,\"lon\":8.541694e0}",
        "{\"lat\":4.7376887E+01,\"lon\":8.541694}",
        "$GPRMC,101010.00,A,4722.61322,N,00832.50164,E,0.1,,301126,,,A*6C",
        "47\u{b0}22'36.79\"N 8\u{b0}32'30.10\"E",
    ] {
        let told = found(text.as_bytes());
        assert!(told.iter().any(|f| f == "home[]"), "{text}: {told:?}");
    }
    check("<p>47&deg;22'36.79&quot;N 8&deg;32'30.10&quot;E</p>", &["home[html]"]);
    let far = |gap: usize, lat: &str, lon: &str| format!("{lat}{}{lon}", " word".repeat(gap));
    for text in [
        far(600, "47.376887", "8.541694"),
        far(20, "47.377", "8.542"),
        "47.376887 9.541694".into(),
        "47.376887, -8.541694".into(),
        "4.7376887e2 8.541694".into(),
        "4.737688e1 9.541694e0".into(),
        "4.7376887e1x 8.541694".into(),
    ] {
        assert_eq!(found(text.as_bytes()).iter().find(|f| *f == "home[]"), None, "{text}");
    }
}

/// A letter beside a number says its hemisphere, a comma may stand before its decimals; trackers say degrees and minutes.
#[test]
fn positions_with_letters_and_commas() {
    #[track_caller]
    fn check(planted: &str, rows: &[(&str, bool)]) {
        let engine = Engine::new([Seed { name: "it".into(), kind: Kind::Position, value: planted.into() }], &[7; 32]);
        for (text, expect) in rows {
            let mut got = 0;
            engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| got += usize::from(f.seed.is_some()));
            assert_eq!(got > 0, *expect, "{planted}: {text}");
        }
    }
    check(
        "-33.86123,-70.64827",
        &[
            (r#"{"lat":"33.86123 S","lon":"70.64827 W"}"#, true),
            ("S33.86123,W70.64827", true),
            ("33.86123\u{b0} S, 70.64827\u{b0} W", true),
            ("33.86123 N 70.64827 E", false),
            ("33.86123 70.64827", false),
            ("*HQ,4109198974,V1,183318,A,3351.6738,S,07038.8962,W,000.00,310126#", true),
            ("*HQ,4109198974,V1,183318,A,3351.6738,N,07038.8962,E,000.00,310126#", false),
            (r#"{"lat":"-33,86123","lon":"-70,64827"}"#, true),
        ],
    );
    check(
        "33.86123,70.64827",
        &[
            ("33.86123 S, 70.64827 E", false),
            ("33.86123 N, 70.64827 E", true),
            // What a word begins with is no letter of its own.
            ("33.86123 South 70.64827 West", true),
            (r#"{"lat":"33,86123","lon":"70,64827"}"#, true),
            (r#"{"lat":"33,86123","lon":"71,64827"}"#, false),
            ("1,33,86123 1,70,64827", false),
        ],
    );
}

/// A position in fewer decimals, rounded or cut; not one that neither gives. In more decimals, one that gives the planted; and as 32 bits.
#[test]
fn positions_rounded_and_cut() {
    #[track_caller]
    fn check(planted: &str, rows: &[(&str, &str, bool)]) {
        let engine = Engine::new([Seed { name: "it".into(), kind: Kind::Position, value: planted.into() }], &[7; 32]);
        for (lat, lon, expect) in rows {
            let mut got = 0;
            engine.peel(format!("?lat={lat}&lon={lon}").as_bytes(), None, Budget::MESSAGE, &mut |f: Found| {
                got += usize::from(f.seed.is_some());
            });
            assert_eq!(got > 0, *expect, "{planted}: {lat}, {lon}");
        }
    }
    check(
        "52.520008,13.404954",
        &[
            ("52.520008", "13.404954", true),
            ("52.520", "13.405", true),
            ("52.520", "13.404", true),
            ("52.5200", "13.4049", true),
            ("52.5200", "13.4050", true),
            ("52.52001", "13.40495", true),
            ("52.52000", "13.40495", true),
            ("52.52000800", "13.40495400", true),
            ("52.5200083", "13.4049536", true),
            ("52.520008087158203", "13.404953956604004", true),
            ("52.521", "13.405", false),
            ("52.519", "13.405", false),
            ("52.520", "13.406", false),
            ("52.520", "13.403", false),
            ("52.5201", "13.4050", false),
            ("52.5199", "13.4050", false),
            ("52.52002", "13.40495", false),
            ("52.520008", "13.404955", false),
            ("52.520010", "13.404954", false),
        ],
    );
    check(
        "-33.856784,-70.215297",
        &[
            ("-33.857", "-70.215", true),
            ("-33.856", "-70.215", true),
            ("-33.857", "-70.216", true),
            ("-33.855", "-70.215", false),
            ("-33.858", "-70.215", false),
            ("33.857", "70.215", false),
        ],
    );
    check("52.5200,13.4050", &[("52.52004", "13.40496", true), ("52.52006", "13.40503", true), ("52.51993", "13.40503", false)]);
    check(
        "52.52000812,13.40495461",
        &[("52.520008", "13.404954", true), ("52.52000790", "13.40495400", true), ("52.520010", "13.404955", false)],
    );
    // 4.004 times a thousand is a little less than 4004, and cut it is 4003.
    check("4.004,13.405", &[("4.003", "13.405", true), ("4.004", "13.405", true), ("4.005", "13.405", false), ("4.002", "13.405", false)]);
}

/// A position as programs lay numbers out, in messages and in streams.
#[test]
fn positions_in_binary() {
    let told = |planted: &str, bytes: &[u8]| {
        let engine = Engine::new([Seed { name: "it".into(), kind: Kind::Position, value: planted.into() }], &[7; 32]);
        let (mut got, mut carry, mut scanned) = (0, Carry::default(), 0);
        engine.peel(bytes, None, Budget::MESSAGE, &mut |f: Found| got += usize::from(f.seed.is_some() && f.grade == Grade::Proof));
        engine.scan(&mut carry, bytes, &mut |_| scanned += 1);
        engine.finish(&mut carry, &mut |_| scanned += 1);
        assert_eq!(got > 0, scanned > 0, "{}", bytes.escape_ascii());
        got > 0
    };
    let (lat, lon) = (52.520_008_f64, 13.404_954_f64);
    let other = 52.520_018_f64;
    let doubles = |y: f64, x: f64| {
        [
            [[1, 9].as_slice(), &y.to_le_bytes(), &[0x11], &x.to_le_bytes()].concat(),
            [&[0xfb][..], &y.to_be_bytes(), &[0x63], b"lon", &[0xfb], &x.to_be_bytes()].concat(),
        ]
    };
    let pairs = |y: f64, x: f64| {
        let [lat, lon] = [y as f32, x as f32];
        let [lat7, lon7] = [y, x].map(|degrees| (degrees * 1e7).round() as i32);
        let [lat6, lon6] = [y, x].map(|degrees| (degrees * 1e6).round() as i32);
        [
            [lat.to_le_bytes(), lon.to_le_bytes()].concat(),
            [lon.to_be_bytes(), lat.to_be_bytes()].concat(),
            [&[0x0d][..], &lat.to_le_bytes(), &[0x15], &lon.to_le_bytes()].concat(),
            [lat7.to_le_bytes(), lon7.to_le_bytes()].concat(),
            [lon7.to_be_bytes(), lat7.to_be_bytes()].concat(),
            [lat6.to_be_bytes(), lon6.to_be_bytes()].concat(),
            [lon6.to_le_bytes(), lat6.to_le_bytes()].concat(),
            [&[0x0d][..], &lat7.to_le_bytes(), &[0x15], &lon7.to_le_bytes()].concat(),
            [&[0x10][..], &varint(lat7.into()), &[0x18], &varint(lon7.into()), &[0x22]].concat(),
            [&[0x08][..], &varint(i64::from(lat7 << 1 ^ lat7 >> 31)), &[0x10], &varint(i64::from(lon7 << 1 ^ lon7 >> 31))].concat(),
        ]
    };
    for bytes in doubles(lat, lon).into_iter().chain(pairs(lat, lon)) {
        assert!(told("52.520008,13.404954", &[&[0xff], &bytes[..], &[0]].concat()), "{}", bytes.escape_ascii());
    }
    assert!(told("52.520008,13.404954", &[&[0xcb][..], &lat.to_be_bytes()].concat()));
    for bytes in pairs(other, lon).into_iter().chain([other.to_le_bytes().to_vec(), (-lat).to_be_bytes().to_vec()]) {
        assert!(!told("52.520008,13.404954", &bytes), "{}", bytes.escape_ascii());
    }
    for (planted, far) in [("-33.856784,-70.215297", (-33.856_784_f64, -70.215_297_f64)), ("-33.8568,-70.2153", (-33.8568, -70.2153))] {
        for bytes in pairs(far.0, far.1).into_iter().chain([[far.0.to_le_bytes(), far.1.to_le_bytes()].concat()]) {
            assert!(told(planted, &bytes), "{}", bytes.escape_ascii());
        }
    }
    // To ten metres one number alone says too little, and to a hundred two.
    assert!(!told("-33.8568,-70.2153", &(-33.8568f64).to_le_bytes()));
    assert!(!told("47.377,8.542", &[47.377f32.to_le_bytes(), 8.542f32.to_le_bytes()].concat()));
}

/// The two numbers of a position in fields of their own: names and heads stand between them.
#[test]
fn positions_in_binary_fields() {
    let told = |planted: &str, bytes: &[u8]| {
        let engine = Engine::new([Seed { name: "it".into(), kind: Kind::Position, value: planted.into() }], &[7; 32]);
        let mut got = 0;
        engine.peel(bytes, None, Budget::MESSAGE, &mut |f: Found| got += usize::from(f.seed.is_some() && f.grade == Grade::Proof));
        got > 0
    };
    let layouts = |y: f64, x: f64| {
        let [doubles, singles] = [[y, x].map(|n| n.to_be_bytes().to_vec()), [y, x].map(|n| (n as f32).to_be_bytes().to_vec())];
        let mut out = Vec::new();
        for (head, [lat, lon]) in [(0xfb, &doubles), (0xcb, &doubles), (0xfa, &singles), (0xca, &singles)] {
            let head = &[head][..];
            out.push([&[0x82], head, lat, head, lon].concat());
            out.push([&[0x82, 1], head, lat, &[2], head, lon].concat());
            out.push([&[0xa2], &b"clat"[..], head, lat, b"clon", head, lon].concat());
            out.push([&[0x82], &b"\xa9longitude"[..], head, lon, b"\xa8latitude", head, lat].concat());
        }
        let [low, high] = [y, x].map(f64::to_le_bytes);
        out.push([&b"\x01lat\0"[..], &low, b"\x01lon\0", &high].concat());
        out.push([&b"\x04\0\x01"[..], &doubles[0], b"\x04\0\x02", &doubles[1], b"\0"].concat());
        for field in 1..15u8 {
            let key = |n: u8, wire: u8| vec![n << 3 | wire];
            let pair = |wire: u8, [a, b]: [Vec<u8>; 2]| [key(field, wire), a, key(field + 1, wire), b, vec![0x7a, 1, b'x']].concat();
            out.push(pair(1, [y, x].map(|n: f64| n.to_le_bytes().to_vec())));
            out.push(pair(5, [y, x].map(|n| (n as f32).to_le_bytes().to_vec())));
            out.push(pair(0, [y, x].map(|n| varint((n * 1e6).round() as i64))));
            out.push(pair(0, [y, x].map(|n| varint((n * 1e7).round() as i64))));
            out.push(pair(5, [y, x].map(|n| ((n * 1e7).round() as i32).to_le_bytes().to_vec())));
        }
        out.push([y, x].map(|n| ((n * 1e5).round() as i32).to_le_bytes()).concat());
        out
    };
    for (planted, y, x) in [("47.3769,8.5417", 47.3769, 8.5417), ("-33.856784,-70.215297", -33.856_784, -70.215_297)] {
        for bytes in layouts(y, x) {
            assert!(told(planted, &bytes), "{planted}: {}", bytes.escape_ascii());
        }
        // Another place on the same latitude, or none.
        for bytes in layouts(y, x + 0.0002).into_iter().filter(|_| planted.len() < 16) {
            assert!(!told(planted, &bytes), "{planted}: {}", bytes.escape_ascii());
        }
        let far = |n: f64| [&[0xca][..], &(n as f32).to_be_bytes()].concat();
        assert!(!told(planted, &[&far(y)[..], &[b'-'; 40], &far(x)].concat()));
        assert!(!told(planted, &far(y)));
    }
}

/// Seven bits to a byte, by another way than the engine's.
fn varint(n: i64) -> Vec<u8> {
    let parts: Vec<u8> = (0..10).map(|at| (n as u64 >> (7 * at)) as u8 & 0x7f).collect();
    let last = parts.iter().rposition(|part| *part > 0).unwrap_or(0);
    parts[..=last].iter().enumerate().map(|(at, part)| if at < last { part | 0x80 } else { *part }).collect()
}

/// Numbers as Protocol Buffers write them; not another, nor a short one that is no field.
#[test]
fn numbers_in_protobuf() {
    let field = |key: u8, n: i64| [&[key][..], &varint(n), b"\x12\x03abc"].concat();
    for (n, expect) in [
        (490_154_203_237_518, "imei-1[varint]"),
        (228_011_234_567_890, "imsi-1[varint]"),
        (0xa45e_60c1_229b, "wifi[varint]"),
        (0xa375_db57_ef62_d1c5_u64 as i64, "android[varint]"),
        (41_791_234_567, "phone[varint]"),
    ] {
        check(field(0x08, n), &[expect]);
        check(field(0x30, n), &[expect]);
        check(field(0x08, n + 1), &[]);
    }
    check(field(0x09, 41_791_234_567), &[]);
    check([&varint(41_791_234_567)[..], b"abcd"].concat(), &[]);
    check([b"\x08\x80", &varint(41_791_234_567)[..], b"abcd"].concat(), &[]);
}

/// An address whose lines are fields, and values that are folded as in calendars.
#[test]
fn addresses_in_fields_and_folded_lines() {
    #[track_caller]
    fn check(address: &str, rows: &[(&str, bool)]) {
        let seeds = [(Kind::PostalAddress, address), (Kind::Email, EMAIL)];
        let engine = Engine::new(seeds.map(|(kind, value)| Seed { name: kind.word().into(), kind, value: value.into() }), &[7; 32]);
        for (text, expect) in rows {
            let mut got = 0;
            engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| {
                got += usize::from(f.seed.is_some() && f.grade == Grade::Proof);
            });
            assert_eq!(got > 0, *expect, "{text}");
        }
    }
    check(
        "Rosengasse 17, 40212 Neustadt",
        &[
            (r#"{"street":"Rosengasse 17","zip":"40212","city":"Neustadt"}"#, true),
            (r#"{"city":"Neustadt","zip":"40212","street":"Rosengasse 17"}"#, true),
            ("street=Rosengasse+17&zip=40212&city=Neustadt", true),
            ("<street>Rosengasse 17</street><plz>40212</plz><ort>NEUSTADT</ort>", true),
            ("ADR;TYPE=home:;;Rosengasse 17;Neustadt;;40212;", true),
            (r#"{"street":"Rosengasse","houseNumber":"17","zip":"40212","city":"Neustadt"}"#, true),
            (r#"{"houseNumber":17,"street":"Rosengasse","city":"Neustadt","zip":"40212"}"#, true),
            ("addr:street=Rosengasse&addr:housenumber=17&addr:postcode=40212&addr:city=Neustadt", true),
            (r#"{"street":"Rosengasse","houseNumber":"18","zip":"40212","city":"Neustadt"}"#, false),
            (r#"{"zip":"40212","city":"Neustadt","street":"Rosengasse","houseNumber":"18","floor":"17"}"#, false),
            (r#"{"street":"Rosengasse","houseNumber":"17b","zip":"40212","city":"Neustadt"}"#, false),
            (r#"{"street":"Rosengasse 18","zip":"40212","city":"Neustadt"}"#, false),
            (r#"{"street":"Rosengasse 17a","zip":"40212","city":"Neustadt"}"#, false),
            (r#"{"street":"Rosengasse 171","zip":"40212","city":"Neustadt"}"#, false),
            (r#"{"street":"Rosengasse 17","zip":"40213","city":"Neustadt"}"#, false),
            (r#"{"street":"Rosengasse 17","zip":"40212","city":"Altstadt"}"#, false),
            (r#"{"street":"Rosengasse","zip":"40212","city":"Neustadt"}"#, false),
            (r#"{"zip":"40212","city":"Neustadt"}"#, false),
        ],
    );
    check(
        "221B Baker Street, London NW1 6XE",
        &[
            (r#"{"line1":"221B Baker Street","town":"London","postcode":"NW1 6XE"}"#, true),
            (r#"{"line1":"221B Baker Street","postcode":"NW1 6XE","town":"London"}"#, true),
            (r#"{"number":"221B","road":"Baker Street","town":"London","postcode":"NW1 6XE"}"#, true),
            (r#"{"number":"222B","road":"Baker Street","town":"London","postcode":"NW1 6XE"}"#, false),
            (r#"{"line1":"221 Baker Street","town":"London","postcode":"NW1 6XE"}"#, false),
        ],
    );
    let folded = |fold: &str| format!("BEGIN:VEVENT\r\nATTENDEE;CN=\"x\":mailto:anna.quist@exam{fold}ple.org\r\nEND:VEVENT");
    let (blank, tab, other, bare) = (folded("\r\n "), folded("\n\t"), folded("\r\n x"), folded("\r\n"));
    check("", &[(&blank, true), (&tab, true), (&other, false), (&bare, false), (&blank.replace("BEGIN:V", "BEGIN-"), false)]);
}

/// Names of persons and devices in labels of DNS, with letters beyond ASCII.
#[test]
fn names_in_punycode() {
    let seed = |name: &str, kind, value: &str| Seed { name: name.into(), kind, value: value.into() };
    let engine = Engine::new(
        [seed("owner", Kind::PersonName, "J\u{fc}rgen Gro\u{df}mann"), seed("host", Kind::HostName, "J\u{fc}rgens Pixel")],
        &[7; 32],
    );
    for (text, expect) in [
        ("xn--jrgen-gromann-jdb04b.example", "owner punycode"),
        ("GET / HTTP/1.1\r\nHost: XN--JRGEN-GROMANN-JDB04B.example\r\n\r\n", "owner punycode"),
        ("xn--jrgengromann-s9a21b.example", "owner punycode"),
        ("_http._tcp.xn--jrgen-grossmann-zvb.example", "owner punycode"),
        ("a--b.xn--jrgens-pixel-dlb.local", "host punycode"),
        ("xn--jrgens-pixe-thb.local", ""),
        ("xn--jrgen-grossman-gsb.example", ""),
        ("xn--bcher-kva.example", ""),
    ] {
        let mut got = Vec::new();
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| {
            if f.grade == Grade::Proof {
                got.push(format!("{} {}", f.seed.unwrap(), f.chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")));
            }
        });
        assert_eq!(got.join(";"), expect, "{text}");
    }
}

/// What of a message is told when only planted values are asked for: the same, without shapes; and where only what is coded in it, shapes of that.
#[test]
fn planted_values_alone() {
    let told = |message: &str, coded: bool| {
        let mut out = Vec::new();
        let mut sink = |f: Found| {
            let kind = f.seed.unwrap_or_else(|| Text::ours(f.kind.word()));
            out.push(format!("{kind}[{}]", f.chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")));
        };
        if coded {
            engine().peel_coded(message.as_bytes(), &mut sink)
        } else {
            engine().peel_planted(message.as_bytes(), &mut sink)
        };
        out
    };
    let twice = base64(base64(EMAIL.as_bytes()).as_bytes());
    let message = format!("imei={IMEI}&x={twice}&other=bob.miller@example.net");
    assert_eq!(told(&message, false), ["imei-1[]", "email-main[base64,base64]"]);
    assert_eq!(told(&message, true), ["imei-1[]", "email-main[base64,base64]"]);
    assert_eq!(told(&format!("{message}&y={}", base64(b"to=bob.miller@example.net")), true)[2..], ["email[base64]"]);
    assert!(found(message.as_bytes()).iter().any(|f| f.starts_with("?email")), "a shape is there, and was not told above");
}

/// What is found in a message, as `name[chain]`.
fn found(message: &[u8]) -> Vec<String> {
    let mut out = Vec::new();
    engine().peel(message, None, Budget::MESSAGE, &mut |f: Found| {
        let name = f.seed.map_or_else(|| format!("?{}", f.kind), |s| s.to_string());
        let chain: Vec<String> = f.chain.iter().map(ToString::to_string).collect();
        out.push(format!("{name}[{}]", chain.join(",")));
    });
    out
}

#[track_caller]
fn check(message: impl AsRef<[u8]>, expect: &[&str]) {
    assert_eq!(found(message.as_ref()), expect, "{}", message.as_ref().escape_ascii());
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn deflate(bytes: &[u8]) -> Vec<u8> {
    let mut to = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
    to.write_all(bytes).unwrap();
    to.finish().unwrap()
}

fn html(text: &str) -> String {
    text.bytes().map(|b| format!("&#{b};")).collect()
}

fn json_escaped(text: &str) -> String {
    text.bytes().map(|b| format!("\\u{b:04x}")).collect()
}

fn quoted(text: &str) -> String {
    text.bytes().map(|b| format!("={b:02X}")).collect::<String>() + "=\r\n"
}

fn percent(text: &[u8]) -> String {
    String::from_utf8(code::percent(text)).unwrap()
}

/// The nine rows of published comparisons that layered detectors fail, one or the other.
#[test]
fn rows_that_others_miss() {
    check(format!("q={EMAIL}"), &["email-main[]"]);
    check(format!("q={}", percent(EMAIL.as_bytes())), &["email-main[percent]"]);
    check(format!("q={}", base64(EMAIL.as_bytes())), &["email-main[base64]"]);
    check(format!("q={}", crate::encode::hex(EMAIL.as_bytes())), &["email-main[hex]"]);
    check(format!(r#"{{"mail":"{}"}}"#, json_escaped(EMAIL)), &["email-main[json:$.mail]"]);
    check(format!("<p title=\"{}\">", html(EMAIL)), &["email-main[html]"]);
    let inner = format!(r#"{{"u":{{"mail":"{EMAIL}"}}}}"#);
    check(format!(r#"{{"data":"{}"}}"#, base64(inner.as_bytes())), &["email-main[json:$.data,base64,json:$.u.mail]"]);
    check(format!("d={}", base64(&zlib(inner.as_bytes()))), &["email-main[base64,zlib,json:$.u.mail]"]);
    for text in ["GQ4TAMJVGQZDAMZSGM3TKMJY", "d=GQ4TAMJVGQZDAMZSGM3TKMJY&e=1"] {
        for text in [text.to_owned(), text.to_ascii_lowercase()] {
            check(text, &["imei-1[base32]"]);
        }
    }
    check(format!("xyz{}", base64(format!("some words, {EMAIL}, and more").as_bytes())), &["email-main[base64]"]);
}

/// Base64 of another value that differs only in bits which stand beside the needle; and of this one, wherever it stands and however it is
/// escaped.
#[test]
fn base64_to_the_last_bit() {
    #[track_caller]
    fn check(kind: Kind, value: &str, other: &str) {
        let engine = Engine::new([Seed { name: "it".into(), kind, value: value.into() }], &[7; 32]);
        let told = |text: &str| {
            let mut got = 0;
            engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| got += usize::from(f.seed.is_some()));
            let (mut carry, mut scanned) = (Carry::default(), 0);
            engine.scan(&mut carry, text.as_bytes(), &mut |_| scanned += 1);
            engine.finish(&mut carry, &mut |_| scanned += 1);
            assert!(got > 0 || scanned == 0, "{text}");
            got > 0
        };
        for (before, after) in ["", "x", "xy"].into_iter().flat_map(|b| ["", "\"}", ", "].map(|a| (b, a))) {
            for (text, expect) in [(value, true), (other, false)] {
                let coded = base64(format!("{before}{text}{after}").as_bytes());
                for written in [coded.clone(), code64(&format!("{before}{text}{after}")), percent(coded.as_bytes())] {
                    assert_eq!(told(&format!("{{\"d\":\"{written}\"}}")), expect, "{before}{text}{after} as {written}");
                }
            }
        }
    }
    check(Kind::Msisdn, "+447700900570", "+447700900571");
    check(Kind::Imei, "000439114859143", "000439114859135");
    check(Kind::Password, "~key?of~7", "~key?of~6");
    check(Kind::Password, "~key?of~7", "nkey?of~7");
    check(Kind::PersonName, "Anna Quist", "Anna Quisu");
    // Cut behind the needle or in front of it, or escaped there.
    let engine = Engine::new([Seed { name: "it".into(), kind: Kind::Msisdn, value: "+447700900570".into() }], &[7; 32]);
    for text in ["KzQ0NzcwMDkwMDU3M", "s0NDc3MDA5MDA1NzA=", "\\ns0NDc3MDA5MDA1NzA=", "%2Bs0NDc3MDA5MDA1NzA="] {
        let mut got = 0;
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |_: Found| got += 1);
        assert!(got > 0, "{text}");
    }
}

/// The words of a planted name in fields beside each other; not in fields of two people, and not in a sentence.
#[test]
fn names_in_fields() {
    #[track_caller]
    fn check(name: &str, text: &str, expect: Option<Grade>) {
        let seed = |name: &str, kind, value: &str| Seed { name: name.into(), kind, value: value.into() };
        let engine = Engine::new([seed("it", Kind::PersonName, name), seed("pin", Kind::Password, "zx81")], &[7; 32]);
        let (mut got, mut again) = (Vec::new(), Vec::new());
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| got.extend(f.seed.map(|_| f.grade)));
        assert_eq!(got.iter().max().copied(), expect, "{text}");
        engine.peel_planted(text.as_bytes(), &mut |f: Found| again.push(f.grade));
        assert!(expect != Some(Grade::Proof) || !again.is_empty(), "{text}");
        if expect == Some(Grade::Proof) {
            let shown = Text::veiled(text.as_bytes(), &engine).to_string();
            assert!(!shown.contains("Quist"), "{shown}");
        }
    }
    for text in [
        "<first>Anna</first><last>Quist</last>",
        "<last>Quist</last>\r\n  <first>Anna</first>",
        "<u last=\"Quist\" first=\"Anna\"/>",
        "<family value=\"Quist\"/><given value=\"Anna\"/>",
        "<key>first</key><string>Anna</string><key>last</key><string>Quist</string>",
        "1,Anna,Quist,2",
        "1\tQuist\tAnna\t2",
        "\"Anna\";\"Quist\"",
        r#"{"fn":"Anna","ln":"Quist"}"#,
        r#"{"fn":"ANNA","ln":"QUIST"}"#,
        r#"{"name":{"given":"Anna","family":"Quist"}}"#,
        r#"{"name":[{"family":"Quist","given":["Anna"]}]}"#,
        r#"["Anna","Quist"]"#,
        r#"{\"vorname\":\"Anna\",\"nachname\":\"Quist\"}"#,
        "first: Anna\nlast: Quist\n",
        "first=Anna&last=Quist",
        "x=1&last=Quist&first=Anna&y=2",
        "x=%26last%3DQuist%26first%3DAnna",
        "INSERT INTO u VALUES (7, 'Anna', 'Quist')",
        "\n\x04Anna\x12\x05Quist\x18\x01",
        "--b\r\nContent-Disposition: form-data; name=\"first\"\r\n\r\nAnna\r\n--b\r\nContent-Disposition: form-data; name=\"last\"\r\n\r\nQuist\r\n--b--",
        "Anna\u{a0}Quist",
        "Anna  Quist",
        "Anna\tQuist",
        "from Anna<br>Quist again",
        "first=Anna last=Quist city=Bern",
        "Quist,\u{202f}Anna",
    ] {
        check("Anna Quist", text, Some(Grade::Proof));
    }
    for text in [
        "Anna went to see the Quist family",
        "He asked Anna. Quist said nothing.",
        r#"{"fn":"Anna","ln":"Quistson"}"#,
        r#"{"fn":"Anna","ln":"Quisté"}"#,
        r#"{"fn":"éAnna","ln":"Quist"}"#,
        r#"{"fn":"Hanna","ln":"Quist"}"#,
        r#"{"ln":"Quist"}"#,
        &format!("<first>Anna</first>{}<last>Quist</last>", " ".repeat(64)),
    ] {
        check("Anna Quist", text, None);
    }
    for text in [
        r#"[{"fn":"Bob","ln":"Quist"},{"fn":"Anna","ln":"Miller"}]"#,
        "<p><f>Bob</f><l>Quist</l></p><p><f>Anna</f><l>Miller</l></p>",
        "- first: Bob\n  last: Quist\n- first: Anna\n  last: Miller\n",
        r#"{"fn":"Anna","age":"44","ln":"Quist"}"#,
        r#"["Bob Quist","Anna Miller"]"#,
        "<li>Bob Quist</li><li>Anna Miller</li>",
    ] {
        check("Anna Quist", text, Some(Grade::Structural));
    }
    check("Zoë Müller", "first=Zo%C3%AB&last=M%C3%BCller", Some(Grade::Proof));
    check("Zoë Müller", "{\"fn\":\"Zo\\u00eb\",\"ln\":\"M\\u00fcller\"}", Some(Grade::Proof));
    check("Vincent van der Berg", r#"{"fn":"Vincent","ln":"van der Berg"}"#, Some(Grade::Proof));
    check("Anna Maria Quist", r#"{"fn":"Anna","ln":"Quist"}"#, Some(Grade::Proof));
    check("Bo Lindqvist", r#"{"fn":"Bo","ln":"Lindqvist"}"#, Some(Grade::Structural));
    check("Anna Quist", &"Quist ".repeat(20_000), None);
}

/// The four numbers of a cell in fields beside each other, in any order.
#[test]
fn cells_in_fields() {
    #[track_caller]
    fn check(text: &str, expect: bool) {
        let engine = Engine::new([Seed { name: "cell".into(), kind: Kind::CellId, value: "262-02-4660-98123".into() }], &[7; 32]);
        let (mut got, mut again) = (false, false);
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| got |= f.seed.is_some() && f.grade == Grade::Proof);
        engine.peel_planted(text.as_bytes(), &mut |f: Found| again |= f.grade == Grade::Proof);
        assert_eq!((got, again), (expect, expect), "{text}");
        assert!(!expect || !Text::veiled(text.as_bytes(), &engine).to_string().contains("98123"), "{text}");
    }
    for text in [
        r#"{"mcc":262,"mnc":2,"lac":4660,"cid":98123}"#,
        r#"{"cell":{"cid":98123,"tac":4660,"plmn":{"mcc":"262","mnc":"02"},"rsrp":-98}}"#,
        "mcc=262&mnc=02&lac=4660&cid=98123&x=1",
        "<cell mcc=\"262\" mnc=\"02\"><lac>4660</lac><id>98123</id></cell>",
        "262,2,4660,98123",
    ] {
        check(text, true);
    }
    for text in [
        r#"{"mcc":262,"mnc":2,"lac":4660,"cid":98124}"#,
        r#"{"mcc":262,"mnc":7,"lac":4660,"cid":98123}"#,
        r#"{"mcc":262,"mnc":2,"lac":46601,"cid":98123}"#,
        r#"{"mcc":262,"mnc":2,"lac":4660,"cid":981230}"#,
        r#"{"t":1.262,"mnc":2,"lac":4660,"cid":98123}"#,
        &format!(r#"{{"mcc":262,"mnc":2,"pad":"{}","lac":4660,"cid":98123}}"#, "x".repeat(160)),
    ] {
        check(text, false);
    }
}

/// The same in binary formats, whose heads are letters.
#[test]
fn names_in_binary_fields() {
    #[track_caller]
    fn check(name: &str, text: &[u8], expect: bool) {
        let engine = Engine::new([Seed { name: "it".into(), kind: Kind::PersonName, value: name.into() }], &[7; 32]);
        let mut got = false;
        engine.peel(text, None, Budget::MESSAGE, &mut |f: Found| got |= f.seed.is_some() && f.grade == Grade::Proof);
        assert_eq!(got, expect, "{}", text.escape_ascii());
    }
    for (first, last) in [("Anna", "Quist"), ("Tilda", "Wolkenweg"), ("Rosamunde", "Oberholzer")] {
        let name = format!("{first} {last}");
        let item = |head: u8, text: &str| [&[head + text.len() as u8], text.as_bytes()].concat();
        let sized = |kind: u8, text: &str| [&[kind, text.len() as u8], text.as_bytes()].concat();
        let bson = |key: &str, text: &str| [b"\x02", key.as_bytes(), &[0, text.len() as u8 + 1, 0, 0, 0], text.as_bytes(), b"\0"].concat();
        let ldap = |key: &str, text: &str| {
            let all = (key.len() + text.len() + 6) as u8;
            [&[0x30, all], &sized(4, key)[..], &[0x31, text.len() as u8 + 2], &sized(4, text)].concat()
        };
        let layouts = |first: &str, last: &str| {
            let mut out = Vec::new();
            for (map, head) in [(0xa2, 0x60), (0x82, 0xa0)] {
                out.push([&[map], &item(head, "first")[..], &item(head, first), &item(head, "last"), &item(head, last)].concat());
                out.push([&[map], &item(head, "sn")[..], &item(head, last), &item(head, "given_name"), &item(head, first)].concat());
                out.push([&[map, 1], &item(head, first)[..], &[2], &item(head, last)].concat());
                out.push([&[map], &item(head, first)[..], &item(head, last), &[0x18]].concat());
            }
            for field in [1, 8, 9, 12] {
                out.push([&[0x08, 1], &sized(field << 3 | 2, first)[..], &sized((field + 1) << 3 | 2, last), b"z\x01x"].concat());
            }
            out.push([&b"bplist00\xd2\x01\x02\x03\x04UfirstTlast"[..], &item(0x50, first), &item(0x50, last), b"\x08\x0d\x13"].concat());
            out.push([&b"\x2c\0\0\0"[..], &bson("first", first), &bson("last", last), b"\0"].concat());
            out.push([&b"\x68\x40\x30\x3e"[..], &ldap("givenName", first), &ldap("sn", last)].concat());
            out
        };
        for text in layouts(first, last) {
            check(&name, &text, true);
        }
        for text in layouts(first, "Miller").into_iter().chain(layouts("Bob", last)) {
            check(&name, &text, false);
        }
        // Words that go on, and other people beside each other.
        for text in layouts(&format!("{first}s"), last).into_iter().chain(layouts(first, &format!("{last}er"))) {
            check(&name, &text, false);
        }
        for (list, map, head) in [(0x82, 0xa2, 0x60), (0x92, 0x82, 0xa0)] {
            let person = |first: &str, last: &str| {
                [&[map], &item(head, "first")[..], &item(head, first), &item(head, "last"), &item(head, last)].concat()
            };
            check(&name, &[&[list], &person("Bob", last)[..], &person(first, "Miller")].concat(), false);
        }
    }
    check("Anna Quist", b"see dAnna or eQuist", false);
    check("Anna Quist", b"\x01see dAnnaeQuistion", false);
}

/// Values with the blanks and hyphens that typography and spelling programs put in, as they are and in codings: said as they are, not coded.
#[test]
fn blanks_beyond_ascii() {
    #[track_caller]
    fn check(kind: Kind, value: &str, text: &str, expect: &[&str]) {
        let engine = Engine::new([Seed { name: "it".into(), kind, value: value.into() }], &[7; 32]);
        let mut got = Vec::new();
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| {
            let inside = f.span.start < f.span.end && f.span.end <= text.len() as u64;
            assert!(f.grade == Grade::Proof && inside, "{f:?}");
            got.push(f.chain.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
        });
        assert_eq!(got, expect, "{text}");
        assert!(expect.is_empty() || Text::veiled(text.as_bytes(), &engine).as_str().contains("‹it›"), "{text}");
    }
    let wide = |text: &str, blank: &str, hyphen: &str| text.replace(' ', blank).replace('-', hyphen);
    for blank in ["\u{a0}", "\u{202f}", "\u{2009}"] {
        check(Kind::PersonName, "Anna Quist", &wide("x=Anna Quist", blank, ""), &[""]);
        check(Kind::Msisdn, "+447700900570", &wide("+44 7700 900570", blank, ""), &[""]);
        check(Kind::Iban, "DE89370400440532013000", &wide("DE89 3704 0044 0532 0130 00", blank, ""), &[""]);
        check(Kind::PaymentCard, "4111111111111111", &wide("4111 1111 1111 1111", blank, ""), &[""]);
        check(Kind::PostalAddress, "Seestrasse 14, 8002 Zurich", &wide("Seestrasse 14, 8002 Zurich", blank, ""), &[""]);
        check(
            Kind::PostalAddress,
            "Seestrasse 14, 8002 Zurich",
            &percent(wide("Seestrasse 14, 8002 Zurich", blank, "").as_bytes()),
            &["percent"],
        );
        check(Kind::PostalAddress, "Seestrasse 14, 8002 Zurich", &wide("Seestrasse 14, 8003 Zurich", blank, ""), &[]);
    }
    check(Kind::Msisdn, "+447700900570", &wide("07700-900-570", "", "\u{2011}"), &[""]);
    check(Kind::PersonName, "Anna Quist-Moe", &wide("Anna Quist-Moe", "\u{a0}", "\u{2011}"), &[""]);
    check(Kind::PostalAddress, "Seestrasse 14, 8002 Zurich", "{\"a\":\"Seestrasse\\u00a014,\\u00a08002 Zurich\"}", &["json:$.a"]);
    check(Kind::PostalAddress, "Seestrasse 14, 8002 Zurich", "<b>Seestrasse&#160;14, 8002&#xa0;Zurich</b>", &["html"]);
}

/// A mailbox that holds the planted one in its name is another; one that stands behind an escape, a length or the name of a field is not.
#[test]
fn mailboxes_in_others() {
    let told = |value: &str, text: &[u8]| {
        let engine = Engine::new([Seed { name: "it".into(), kind: Kind::Email, value: value.into() }], &[7; 32]);
        let (mut got, mut carry, mut scanned) = (0, Carry::default(), 0);
        engine.peel(text, None, Budget::MESSAGE, &mut |f: Found| got += usize::from(f.grade == Grade::Proof));
        engine.scan(&mut carry, text, &mut |_| scanned += 1);
        engine.finish(&mut carry, &mut |_| scanned += 1);
        assert!(got > 0 || scanned == 0, "{}", text.escape_ascii());
        (got > 0, scanned > 0)
    };
    for other in [
        "joanna.quist@example.org",
        "m.anna.quist@example.org",
        "m-anna.quist@example.org",
        "m+anna.quist@example.org",
        "m%2Banna.quist%40example.org",
        "e=joanna.quist%40example.org",
        "%61anna.quist@example.org",
        "vanna.quist@example.org",
        "anna.quist@example.org.br",
        "anna.quist@example.organic",
        "anna.quist@example.org2",
        "anna.quist@example.org-mail.test",
        "anna.quist@example.orgu00zz",
        "anna.quist%40example.org.br&x=1",
        "{\"mail\":\"joanna.quist@example.org\"}",
    ] {
        assert_eq!(told(EMAIL, other.as_bytes()), (false, false), "{other}");
    }
    assert_eq!(told("info@kuhn.example", b"newsinfo@kuhn.example"), (false, false));
    for same in [
        "mailto:anna.quist@example.org",
        "<anna.quist@example.org>",
        "to anna.quist@example.org.",
        "to anna.quist@example.org. And so on",
        "to anna.quist@example.org...",
        "...anna.quist@example.org",
        "anna.quist@example.org--",
        "%22anna.quist@example.org%22",
        "%2522anna.quist%2540example.org%2522",
        "?n=Anna+Quist+anna.quist%40example.org+x",
        "a\\nanna.quist@example.org\\nb",
        "a\\\\nanna.quist@example.org\\\\nb",
        "\\u003canna.quist@example.org\\u003e",
        "u003canna.quist@example.orgu003e",
        "\\x3canna.quist@example.org\\x3e",
        "\\n\\026anna.quist@example.org",
        "v=3Danna.quist@example.org=20",
        "uid=_anna.quist@example.org; path",
        "user_anna.quist@example.org",
        "anna.quist@example.org_2",
        "/calendars/anna.quist@example.org.ics",
        "/anna.quist@example.org.json?x",
        "\u{1b}[1manna.quist@example.org\u{1b}[0m",
        "\n\u{16}anna.quist@example.orgB\u{1}x",
        "\u{2}emailvanna.quist@example.orgdname",
        "eemailvanna.quist@example.orgdname",
        "\u{0}\u{16}anna.quist@example.orgx",
        "d1:a22:anna.quist@example.org1:bi1ee",
    ] {
        assert_eq!(told(EMAIL, same.as_bytes()), (true, true), "{same}");
    }
    let long = format!("{}@example.org", "ab".repeat(70));
    assert_eq!(told(&long, format!("x={long}&").as_bytes()), (true, true));
}

#[test]
fn deeper_chains() {
    let inner = format!(r#"{{"device":{{"id":"{}"}}}}"#, base64(&sha256(EMAIL.as_bytes())));
    check(gzip(inner.as_bytes()), &["email-main[gzip,json:$.device.id,base64,sha256]"]);
    let mail = format!(r#"{{"mail":"{}"}}"#, json_escaped(EMAIL));
    check(zstd::encode_all(mail.as_bytes(), 19).unwrap(), &["email-main[zstd,json:$.mail]"]);
    check(format!("d={}", base64(&deflate(format!("{{\"a\":\"{EMAIL}\"}}").as_bytes()))), &["email-main[base64,deflate,json:$.a]"]);
    check(format!("d={}", percent(base64(&gzip(EMAIL.as_bytes())).as_bytes())), &["email-main[percent,base64,gzip]"]);
    let thrice = percent(percent(percent(EMAIL.as_bytes()).as_bytes()).as_bytes());
    check(format!("q={thrice}"), &["email-main[percent,percent,percent]"]);
    let onion = base64(crate::encode::hex(base64(EMAIL.as_bytes()).as_bytes()).as_bytes());
    check(format!("q={onion}"), &["email-main[base64,hex,base64]"]);
    check(format!("body: {}", quoted(EMAIL)), &["email-main[quoted-printable]"]);
    check(format!("[{}]", EMAIL.bytes().map(|b| b.to_string()).collect::<Vec<_>>().join(",")), &["email-main[decimals]"]);
    // Java's bytes have a sign, also of what is no text.
    let signed = gzip(EMAIL.as_bytes()).iter().map(|b| (*b as i8).to_string()).collect::<Vec<_>>().join(", ");
    check(format!("{{\"mail\":[{signed}]}}"), &["email-main[decimals,gzip]"]);
    check(EMAIL.bytes().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(":"), &["email-main[hex]"]);
    check(format!(r#"{{"a":"{{\"b\":\"{EMAIL}\"}}"}}"#), &["email-main[json:$.a,json:$.b]"]);
    // A multipart body with a compressed part.
    let mut multipart = b"--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n".to_vec();
    multipart.extend_from_slice(&gzip(format!("log of {EMAIL}").as_bytes()));
    multipart.extend_from_slice(b"\r\n--b--");
    check(&multipart, &["email-main[gzip]"]);
    // And in zlib, whose two first bytes say little: with its end, or without it if it reads well.
    let text = format!("log of {EMAIL}, who called at seven and wanted nothing but a few kind words");
    let part = |data: &[u8]| [b"--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\n", data, b"\r\n--b--"].concat();
    let packed = zlib(text.as_bytes());
    check(part(&packed), &["email-main[zlib]"]);
    check(part(&packed[..packed.len() - 7]), &["email-main[zlib]"]);
    // Behind much that looks like the beginning of a stream.
    check([&b"x\x9c\xff\xff".repeat(40)[..], &packed, b"."].concat(), &["email-main[zlib]"]);
    // Files of a ZIP archive; an encrypted one shows nothing.
    let member = |flags: u8, data: &[u8]| {
        let head = [&b"PK\x03\x04\x14\0"[..], &[flags, 0, 8, 0], &[0; 16], &[5, 0, 2, 0], b"a.txtee"].concat();
        [&head, data].concat()
    };
    let (first, second) = (member(0, &deflate(b"nothing to see")), member(8, &deflate(format!("log of {EMAIL}").as_bytes())));
    check([&first[..], &second, b"PK\x01\x02"].concat(), &["email-main[deflate]"]);
    check(member(1, &deflate(EMAIL.as_bytes())), &[]);
    // A token without a key of its own: header, claims, signature.
    let jwt = format!("{}.{}.c2ln", code64("{\"alg\":\"none\"}"), code64(&format!("{{\"email\":\"{EMAIL}\"}}")));
    assert!(found(jwt.as_bytes()).contains(&"email-main[base64,json:$.email]".to_owned()), "{:?}", found(jwt.as_bytes()));
}

/// A segment of a path is coded by itself, whatever stands before it: in UTF-16, or packed without a signature.
#[test]
fn segments_of_a_path() {
    let seeds = |text: &str| found(text.as_bytes());
    let url = |bytes: &[u8]| base64(bytes).trim_end_matches('=').replace('+', "-").replace('/', "_");
    let wide = |text: &str| text.bytes().flat_map(|b| [b, 0]).collect::<Vec<u8>>();
    let packed = |text: &str| deflate(format!("{{\"device\":{{\"mail\":\"{text}\"}}}}").as_bytes());
    for (seed, coded, chain) in [
        ("email-main", url(&wide(EMAIL)), "email-main[base64,utf-16le]"),
        ("imei-1", url(&wide(IMEI)), "imei-1[base64,utf-16le]"),
        ("email-main", url(&packed(EMAIL)), "email-main[base64,deflate,json:$.device.mail]"),
        ("imei-1", url(&packed(IMEI)), "imei-1[base64,deflate,json:$.device.mail]"),
    ] {
        for text in [
            format!("GET /u/{coded}/x HTTP/1.1"),
            format!("GET /abc/{coded} HTTP/1.1"),
            format!("GET /collect/v1/{coded} HTTP/1.1"),
            format!("GET /t?d={coded} HTTP/1.1"),
            format!("GET http://shop.test/ab/c/{coded}/ HTTP/1.1"),
            format!("GET http://shop.test:8080/ab/c/{coded} HTTP/1.1"),
            format!("{{\"path\":\"/v/{coded}/\"}}"),
        ] {
            let told = seeds(&text);
            assert!(told.iter().any(|f| f == chain || f.starts_with(seed) && f.contains("json:$.path,base64")), "{text}: {told:?}");
            // Neither the path nor what it holds is shown.
            assert!(!Text::veiled(text.as_bytes(), engine()).as_str().contains(&coded[8..coded.len() - 8]), "{text}");
        }
    }
    // Another's value, and nobody's.
    for other in [wide("anna.quest@example.com"), wide("490154203237526"), deflate(b"{\"device\":{\"mail\":\"anna.quest@example.com\"}}")] {
        let told = seeds(&format!("GET /u/{}/x HTTP/1.1", url(&other)));
        assert!(told.iter().all(|f| f.starts_with('?')), "{told:?}");
    }
}

/// What the labels of a name say together is not shown, as it would not be in one label.
#[test]
fn names_show_no_value_that_their_labels_spell() {
    let shown = |text: &str| Text::veiled(text.as_bytes(), engine()).as_str().to_owned();
    let hex = crate::encode::hex(EMAIL.as_bytes());
    let coded = code64(EMAIL);
    for (name, expect) in [
        ("49.015420.323751.8.c2.test".to_owned(), "‹imei-1›.c2.test"),
        ("x1.49015420.3237518.c2.test".to_owned(), "x1.‹imei-1›.c2.test"),
        ("38400000.8cf0.11bd.b23e.10b96e40000d.c2.test".to_owned(), "‹ad›.c2.test"),
        (format!("{}.{}.{}.c2.test", &hex[..20], &hex[20..40], &hex[40..]), "‹email-main›.c2.test"),
        // Base32 of a planted value, in one label and in two.
        ("mfxg4yjoof2ws43uibsxqylnobwgkltpojtq.c2.test".to_owned(), "‹email-main›.c2.test"),
        ("MFXG4YJOOF2WS43U.IBSXQYLNOBWGKLTPOJTQ.c2.test".to_owned(), "‹email-main›.c2.test"),
        ("7.6.5.4.3.2.1.9.7.1.4.e164.arpa".to_owned(), "‹phone›.e164.arpa"),
        ("r58m12abcde.c2.test".to_owned(), "‹serial›.c2.test"),
    ] {
        assert_eq!(shown(&name), expect, "{name}");
        let (url, field) = (format!("http://{name}:8080/v1/x.y?z=1"), format!("asked \"{name}\" twice"));
        assert_eq!(shown(&url), format!("http://{expect}:8080/v1/x.y?z=1"));
        assert_eq!(shown(&field), format!("asked \"{expect}\" twice"));
        assert_eq!(engine().veil_query(url.as_bytes()).as_str().split('?').next(), shown(&url).split('?').next());
    }
    // Four characters of base64 are one group, which may reach into the next label; and questions are shown in lower case.
    for name in [format!("{}.{}.c2.test", &coded[..14], &coded[14..]), format!("{}.{}.c2.test", &coded[..14], &coded[14..]).to_lowercase()]
    {
        assert!(shown(&name).starts_with("‹email-main›.") && !shown(&name).contains(&name[15..20]), "{name}: {}", shown(&name));
    }
    for harmless in [
        "www.shop.test",
        "192.168.178.201",
        "49.015420.323752.8.c2.test",
        "nzxwe33epebsxqylnobwgkltpojtqmfxg4yj.c2.test",
        "Mozilla/5.0 (Linux; Android 14) Chrome/120.0.6099.230 Mobile",
        "a.b.c.d.e.f.g.h.i.j.k.l.test",
    ] {
        assert_eq!(shown(harmless), harmless);
    }
    // Behind more names than are read nothing is shown, and so no value.
    let many = format!("{} 49.015420.323751.8.c2.test", "abcd.efgh.test ".repeat(130));
    assert!(!shown(&many).contains("015420"), "{}", shown(&many));
}

proptest! {
    /// However a name is parted, no long piece of what is found in it is shown.
    #[test]
    fn no_parted_name_shows_what_is_found_in_it(cuts in proptest::collection::vec(1..40usize, 1..5), before in "[a-z]{0,3}", coding in 0..4) {
        let value = match coding {
            0 => IMEI.to_owned(),
            1 => crate::encode::hex(EMAIL.as_bytes()),
            2 => code64(EMAIL),
            _ => "mfxg4yjoof2ws43uibsxqylnobwgkltpojtq".to_owned(),
        };
        let mut name = before.clone();
        let mut rest = &value[..];
        for cut in cuts {
            let (label, after) = rest.split_at(cut.min(rest.len()));
            if !label.is_empty() {
                name = if name.is_empty() { label.to_owned() } else { format!("{name}.{label}") };
            }
            rest = after;
        }
        name = format!("{name}.{rest}.c2.test").replace("..", ".");
        let labels: Vec<&str> = name.split('.').collect();
        let text = Text::veiled(name.as_bytes(), engine());
        let longest = labels.iter().filter(|label| value.contains(**label)).max_by_key(|label| label.len());
        prop_assert!(longest.is_none_or(|label| label.len() < 6 || !text.as_str().contains(label)), "{name} {text}");
    }
}

/// The head of a mail, whose blanks are `_` in one of the two encodings of RFC 2047, and whose words may part a value.
#[test]
fn encoded_words_of_a_mail() {
    let seed = |name: &str, kind, value: &str| Seed { name: name.into(), kind, value: value.into() };
    let engine = Engine::new(
        [
            seed("clip", Kind::Text, "Ask Nora about the green kettle"),
            seed("home", Kind::PostalAddress, "Rosengasse 17, 40212 Neustadt"),
            seed("secret", Kind::Password, "proper donkey cell"),
            seed("network", Kind::Ssid, "Quists Netz Unten"),
            seed("phone", Kind::Msisdn, "+12025550143"),
        ],
        &[7; 32],
    );
    let proofs = |text: &str| {
        let mut got = Vec::new();
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| {
            got.extend(f.seed.filter(|_| f.grade == Grade::Proof).map(|seed| seed.to_string()));
        });
        got
    };
    for (text, expect) in [
        ("=?utf-8?q?Ask_Nora_about_the_green_kettle_=E2=80=93_=C3=A9?=", "clip"),
        ("=?utf-8?q?Ask_Nora_about_th?=\r\n =?utf-8?q?e_green_kettle_=C3=A9?=", "clip"),
        ("=?utf-8?b?QXNrIE5vcmEgYWJvdXQ=?=\r\n\t=?utf-8?b?IHRoZSBncmVlbiBrZXR0bGU=?=", "clip"),
        ("=?iso-8859-1?Q?Lieferung_nach_Rosengasse_17=2C_40212_Neustadt_=E9?=", "home"),
        ("=?utf-8?q?=C3=A9_new=3A_proper_donkey_cell?=", "secret"),
        ("=?utf-8?q?=C3=A9_WLAN_Quists_Netz_Unten?=", "network"),
        ("=?utf-8?q?=C3=A9_ring_+1_202_555_0143_now?=", "phone"),
    ] {
        assert_eq!(proofs(&format!("From: a@b.test\r\nSubject: {text}\r\n\r\nhello\r\n")), [expect], "{text}");
    }
    for none in [
        "Subject: Ask_Nora_about_the_green_kettle",
        "Subject: =?utf-8?q?Ask_Nora_about_the_great_kettle?=",
        "Subject: =?utf-8?q?ring_+1_202_555_0144_now?=",
    ] {
        assert_eq!(proofs(none), [""; 0], "{none}");
    }
}

fn code64(text: &str) -> String {
    base64(text.as_bytes()).trim_end_matches('=').replace('+', "-").replace('/', "_")
}

/// One row for each defect read in the code of other detectors.
#[test]
fn defects_of_others() {
    // Digests only as lower-case hex.
    check(base64(&sha256(EMAIL.as_bytes())), &["email-main[base64,sha256]"]);
    check(crate::encode::hex(&sha256(EMAIL.as_bytes())).to_uppercase(), &["email-main[hex,sha256]"]);
    let sha512 = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA512, EMAIL.as_bytes());
    check(crate::encode::hex(sha512.as_ref()), &["email-main[hex,sha512]"]);
    check("n=Zebra-Lantern-42/=C3=BC", &["canary[quoted-printable]"]);
    check("<p>Zebra-Lantern-42/&uuml;</p>", &["canary[html]"]);
    check("n=Zebra-Lantern-42%2F%u00FC", &["canary[percent]"]);
    check(sha256(EMAIL.as_bytes()), &["email-main[sha256]"]);
    // Digests of coded values.
    check(crate::encode::hex(&sha256(base64(EMAIL.as_bytes()).as_bytes())), &["email-main[hex,sha256,base64]"]);
    check(crate::encode::hex(&code::digest("md5", percent(EMAIL.as_bytes()).as_bytes())), &["email-main[hex,md5,percent]"]);
    // An MD5 written as a UUID, with the bits of a version or as it is.
    let md5 = crate::encode::hex(&code::digest("md5", EMAIL.as_bytes()));
    let dashed = [&md5[..8], &md5[8..12], &md5[12..16], &md5[16..20], &md5[20..]].join("-");
    check(format!("id={dashed}&v=1"), &["email-main[uuid,md5]"]);
    // The user part alone.
    check("user=anna.quist&x=1", &["email-main[user-part]"]);
    // A value taken for a pattern: a dot is a dot, a plus a plus.
    check("q=annaxquist@example.org", &["?email[]"]);
    check(r#"{"n":"+41791234567"}"#, &["phone[json:$.n]"]);
    check(r#"{"n":"079 123 45 67"}"#, &["phone[json:$.n]"]);
    // Numbers of a document are values too.
    check(r#"{"lat":47.3769,"lon":8.5417}"#, &["home[]"]);
    check(r#"{"latE7":473768870,"lonE7":85416940}"#, &["home[]"]);
    // Every find counts, not the first.
    assert_eq!(found(format!("a={EMAIL}&b={IMEI}&c={}", base64(EMAIL.as_bytes())).as_bytes()).len(), 3);
    // A field known by its name does not hide another.
    check(format!(r#"{{"idfa":"11111111-2222-4333-8444-555555555556","note":"{IMEI}"}}"#), &["?ad-id[json:$.idfa]", "imei-1[json:$.note]"]);
}

#[test]
fn spans_lead_back_to_the_message() {
    let message = format!("GET /p?x=1&mail={}&y=2 HTTP/1.1", percent(EMAIL.as_bytes()));
    let mut spans = Vec::new();
    engine().peel(message.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| spans.push((f.span, f.key.map(|k| k.to_string()), f.grade)));
    let (span, key, grade) = spans.pop().unwrap();
    assert_eq!(&message[span.start as usize..span.end as usize], "anna.quist%40example.org");
    assert_eq!((key.as_deref(), grade), (Some("mail"), Grade::Proof));
}

#[test]
fn shapes_without_a_persona() {
    #[track_caller]
    fn check(text: &str, expect: &[&str]) {
        let engine = Engine::bare(&[1; 32]);
        let mut out = Vec::new();
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| {
            assert_eq!((f.grade, f.seed), (Grade::Structural, None));
            let value = String::from_utf8_lossy(f.value.expose()).into_owned();
            out.push(format!("{}={value}{}", f.kind, f.detail.map(|d| format!(" ({d})")).unwrap_or_default()));
        });
        assert_eq!(out, expect, "{text}");
    }
    check("mail=anna%40x.org", &["email=anna@x.org"]);
    check("\x05\x01matteo@mail.test\x02", &["email=matteo@mail.test"]);
    check("aes128-gcm@openssh.com,icon@2x.png,pkg@1.2.3", &[]);
    check("https://user:pw@host.test/x, https://0123@o1.ingest.test/1", &[]);
    check("Message-ID: <a.b@mail.test>\r\nTo: <anna@mail.test>", &["email=anna@mail.test"]);
    check("mailto:support@shop.test", &[]);
    check("mail=sysadmin@shop.test&to=Administrator@shop.test", &[]);
    check(r#"{"hostname":"worker7@pc.shop.test","n":1}"#, &[]);
    check(r#"{"host":"sysadmina@shop.test"}"#, &["email=sysadmina@shop.test"]);
    check(r#"{"imei":"490154203237518"}"#, &["imei=490154203237518"]);
    check(r#"{"order":"490154203237518"}"#, &[]);
    check("<DevId>x</DevId><imei>490154203237518</imei>", &["imei=490154203237518"]);
    check("+sip.instance=\"<urn:gsma:imei:49015420-323751-8>\"", &["imei=49015420-323751-8"]);
    check("imei=490154203237519", &[]);
    check("sip:310410010001002@ims.mnc410.mcc310.3gppnetwork.org", &["imsi=310410010001002"]);
    check("1295023820005391@mnc023.mcc295.owlan.org", &["imsi=295023820005391"]);
    check("X-WAP-Network-Client-IMSI: 228011234567890", &["imsi=228011234567890"]);
    check("msisdn=41791234567&x=+0200", &["msisdn=41791234567"]);
    check("tel:+41791234567", &["msisdn=+41791234567"]);
    check("a+12345678901b utc+12345678", &[]);
    check("mac=a4:5e:60:c1:22:9b&bssid=02:00:00:00:00:00", &["mac=a4:5e:60:c1:22:9b (permanent)"]);
    check(r#"{"bssid":"da:5e:60:c1:22:9b"}"#, &["bssid=da:5e:60:c1:22:9b (randomised)"]);
    check("SHA1 aa:bb:cc:dd:ee:f0:11:22:33:44:55:66:77:88:99:00:11:22:33:44", &[]);
    check("idfa=00000000-0000-0000-0000-000000000000&trace=38400000-8cf0-11bd-b23e-10b96e40000d", &[]);
    check("android_id=a375db57ef62d1c5&X-B3-SpanId=a375db57ef62d1c6", &["android-id=a375db57ef62d1c5"]);
    check(r#"{"device_id":"350672920106648"}"#, &["device-id=350672920106648"]);
    check("Content-Disposition: form-data; name=\"password\"\r\n\r\nhunter2\r\n--b", &["password=hunter2"]);
    check("if(\"password\"==a.type)", &[]);
    check("uname=%24%7Bjndi%3Aldap%7D", &[]);
    check("user=x&password=", &[]);
    check("GET /l?user=u&password= HTTP/1.1", &[]);
    check("POST /l?password= HTTP/1.1", &[]);
    check("login password= HTTP/1.1 host", &[]);
    check("host=a password= port=5432", &[]);
    check("password='' port='5432'", &[]);
    check(r#"<input name="a" password="" title="please"#, &[]);
    check(r#"{"password": "", "n": "please"}"#, &[]);
    for unfilled in ["%7Bpassword%7D", "{password}", "${password}", "$%7Bpassword%7D", "<password>", "%3Cpassword%3E", "***", "%2A%2A%2A"] {
        check(&format!("GET /l?u=x&password={unfilled} HTTP/1.1"), &[]);
        check(&format!(r#"{{"password":"{unfilled}"}}"#), &[]);
        check(&format!("password: {unfilled}\r\n"), &[]);
    }
    check("u=x&password=<password> please", &[]);
    check("<password>x4y</password><a:password> x4z </a:password>", &["password=x4y", "password=x4z"]);
    check(r#"<w:Password Type="x#PasswordText">hunter2</w:Password>"#, &["password=hunter2"]);
    check("<Password\tid='1'><![CDATA[x4y&z]]></Password>", &["password=x4y&z"]);
    check("<password><![CDATA[x4y]]></password>", &["password=x4y"]);
    check("<password><![CDATA[]]></password>", &[]);
    check(r#"<label class="password">Your word</label>"#, &[]);
    check(r#"<password class="hint">Your word <b>please</b></password>"#, &[]);
    check("<dict><key>Password</key>\n\t<string>x4y</string></dict>", &["password=x4y"]);
    check("<member><name>password</name><value><string>x4y</string></value></member>", &["password=x4y"]);
    check("<name>fs.password</name>\n<value>x4y</value>", &["password=x4y"]);
    for none in [
        "<key>password</key><string></string>",
        "<key>password</key><true/>",
        "<key>password</key>",
        "<key>note</key><string>password</string>",
    ] {
        check(none, &[]);
    }
    check("/reset?password=forgot", &["password=forgot"]);
    for written in [r#"{"password": "x4y"}"#, "password: x4y", "password = x4y", "password= x4y", "password =x4y", "a=b; password= x4y;"] {
        check(written, &["password=x4y"]);
    }
    check("password= c2VjcmV0eA== port=1", &["password=c2VjcmV0eA=="]);
    check("pass=%20;cat%20/etc/passwd", &[]);
    check("Password incorrect.", &[]);
    for label in ["Password", "Passwort", "PASSWORD", "Password:", "Contrase\u{f1}a", "\u{43f}\u{430}\u{440}\u{43e}\u{43b}\u{44c}"] {
        check(&format!(r#"{{"password":"{label}","note":"a word"}}"#), &[]);
    }
    for chosen in ["password", "passwort", "Password1", "Loginova"] {
        check(&format!(r#"{{"password":"{chosen}","note":"a word"}}"#), &[&format!("password={chosen}")]);
    }
    check("u=x&password=Password", &["password=Password"]);
    check("password=hunter2&x=1", &["password=hunter2"]);
    check("/a?vstb=1&userid=09155550104&x=1", &["user-name=09155550104"]);
    check(r#"{"user_id":"81550104"}"#, &["user-name=81550104"]);
    for none in ["/a?userid=0", "/a?userid=-1&x=1", "/a?userid=00000000&x=1", "/a?x=1&userid=guest", "Login=Login&x=1", "x=1&login=Submit"]
    {
        check(none, &[]);
    }
    check("x=1&login=submitter", &["user-name=submitter"]);
    check("lat=47.3769&lon=8.5417", &["position=47.3769&lon=8.5417 (to 10 m)"]);
    check("?ll=47.38,8.54", &["position=47.38,8.54 (to 1 km)"]);
    check("lat=47&lon=8", &[]);
    check("v=9291257684825389030&t=1700000000000", &[]);
}

/// Each value in each coding, and codings in codings: the text that is written shows neither the value nor what it was coded as.
#[test]
fn masks_hold() {
    type Coder = fn(&[u8]) -> Vec<u8>;
    let coders: [(&str, Coder); 14] = [
        ("plain", <[u8]>::to_vec),
        ("percent", |b| percent(b).into_bytes()),
        ("percent all", code::percent_all),
        ("form", code::form),
        ("base64", |b| base64(b).into_bytes()),
        ("base64 url", |b| base64(b).replace('+', "-").replace('/', "_").trim_end_matches('=').as_bytes().to_vec()),
        ("base64 shifted", |b| base64(&[b"\x01", b].concat()).into_bytes()),
        ("base64 shifted twice", |b| base64(&[b"\x01\x02", b].concat()).into_bytes()),
        ("hex", |b| crate::encode::hex(b).into_bytes()),
        ("HEX", |b| crate::encode::hex(b).to_uppercase().into_bytes()),
        ("json", |b| b.iter().map(|b| format!("\\u{b:04x}")).collect::<String>().into_bytes()),
        ("html", |b| b.iter().map(|b| format!("&#x{b:x};")).collect::<String>().into_bytes()),
        ("sha256", |b| crate::encode::hex(&sha256(b)).into_bytes()),
        ("utf-16", |b| b.iter().flat_map(|b| [*b, 0]).collect()),
    ];
    let engine = engine();
    let mut missed = Vec::new();
    for Seed { name, kind, value } in persona() {
        // A date or a pair of numbers does not survive being shown as bytes of another width; they are hidden as numbers.
        let plain_only = matches!(kind, Kind::Position | Kind::BirthDate);
        for (outer, code_outer) in coders.iter().take(if plain_only { 1 } else { coders.len() }) {
            for (inner, code_inner) in &coders[..if plain_only { 1 } else { coders.len() }] {
                // Digests of doubly coded values are not sought; and these coders take bytes for characters, which doubled is noise.
                let odd = *inner == "utf-16" && matches!(*outer, "json" | "html") && !value.is_ascii();
                if odd || (*outer == "sha256" && !matches!(*inner, "plain" | "percent" | "form" | "base64")) {
                    continue;
                }
                let once = code_inner(value.as_bytes());
                let coded = code_outer(&once);
                let mut message = b"GET /p?v=".to_vec();
                message.extend_from_slice(&coded);
                message.extend_from_slice(b"&w=1 HTTP/1.1");
                let shown = Text::veiled(&message, engine);
                let bare = Text::veiled(&coded, &crate::text::Bare);
                let core = &bare.as_str()[..bare.as_str().len().min(900)];
                let inner_shown = String::from_utf8_lossy(&once).into_owned();
                let core: String = core.chars().skip(2).take(core.chars().count().saturating_sub(4)).collect();
                if shown.as_str().contains(&value)
                    || shown.as_str().contains(&inner_shown)
                    || shown.as_str().contains(&core)
                    || !shown.as_str().contains('‹')
                {
                    missed.push(format!("{name}: {outer}({inner}): {shown}"));
                }
            }
        }
    }
    assert!(missed.is_empty(), "{} shown:\n{}", missed.len(), missed.join("\n"));
}

#[test]
fn queries_are_veiled() {
    let engine = engine();
    let shown = engine.veil_query(format!("/v1/ping?imei={IMEI}&name=x&empty=&q={}&name=x", percent(EMAIL.as_bytes())).as_bytes());
    let parts: Vec<&str> = shown.as_str().split('&').collect();
    assert_eq!((parts[0], parts[2], parts[3]), ("/v1/ping?imei=‹imei-1›", "empty=", "q=‹email-main›"));
    assert!(parts[1].starts_with("name=‹value:") && parts[1] == parts[4], "{shown}");
    assert_eq!(engine.veil_query(b"/plain/path").as_str(), "/plain/path");
    assert_eq!(engine.veil_query(b"/p?flag").as_str().len(), "/p?".len() + "‹value:00000000›".len());
}

#[test]
fn bombs_do_not_burst() {
    let engine = engine();
    let zeros = gzip(&vec![0; 64 << 20]);
    let peeled = engine.peel(&zeros, None, Budget::MESSAGE, &mut |_: Found| ());
    assert!(peeled.output <= Budget::MESSAGE.output && peeled.stopped.is_some(), "{peeled:?}");
    // Base64 in base64 in base64, deeper than the limit.
    let mut onion = EMAIL.as_bytes().to_vec();
    for _ in 0..15 {
        onion = base64(&onion).into_bytes();
    }
    let peeled = engine.peel(&onion, None, Budget { depth: 4, ..Budget::MESSAGE }, &mut |_: Found| ());
    assert!(peeled.stopped == Some(Stop::Depth), "{peeled:?}");
    assert!(Text::veiled(&onion, engine).as_str().contains('‹'), "what cannot be searched is not shown");
    for hostile in [
        "%25".repeat(100_000),
        "\\\\u005c".repeat(50_000),
        "&amp;".repeat(100_000),
        "YWFh".repeat(50_000),
        "a=b&".repeat(100_000),
        "[1,2,3,4,5,6],".repeat(20_000),
        "61:".repeat(50_000),
        "aa:zz:".repeat(50_000),
    ] {
        let peeled = engine.peel(hostile.as_bytes(), None, Budget::MESSAGE, &mut |_: Found| ());
        assert!(peeled.output <= Budget::MESSAGE.output && peeled.layers <= Budget::MESSAGE.layers);
    }
}

#[test]
fn equal_values_equal_tokens() {
    let engine = engine();
    let tokens = |text: &str| {
        let mut out = Vec::new();
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| out.push(f.token));
        out
    };
    let other = tokens("imei=356938035643809");
    assert_eq!(tokens("<urn:gsma:imei:35693803-564380-9>"), other);
    assert_eq!(tokens(&format!("x={IMEI}")), [engine.token(Kind::Imei, IMEI)]);
    assert_ne!(Engine::bare(&[8; 32]).token(Kind::Imei, IMEI), engine.token(Kind::Imei, IMEI));
}

#[test]
fn nothing_prints_a_value() {
    let engine = engine();
    let mut out = Vec::new();
    engine.peel(format!("{EMAIL} {IMEI} other@mail.test").as_bytes(), None, Budget::MESSAGE, &mut |f: Found| out.push(format!("{f:?}")));
    out.push(format!("{engine:?} {:?}", persona()));
    for line in &out {
        assert!(!line.contains(EMAIL) && !line.contains(IMEI) && !line.contains("other@"), "{line}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        let engine = engine();
        engine.peel(&bytes, None, Budget::MESSAGE, &mut |_: Found| ());
        let _ = Text::veiled(&bytes, engine);
        let _ = engine.veil_query(&bytes);
    }

    /// Bytes that mean something to a decoder, in every order.
    #[test]
    fn telling_bytes(text in "[aAf09%&#;:=+@.,x\\\\/\"{}\\[\\]<> -]{0,120}") {
        engine().peel(text.as_bytes(), None, Budget::MESSAGE, &mut |_: Found| ());
    }

    /// Mutations of messages that decoders open: nothing panics, finds stay inside the message.
    #[test]
    fn broken_messages(which in 0usize..8, at in any::<proptest::sample::Index>(), byte in any::<u8>(), cut in any::<proptest::sample::Index>()) {
        let inner = format!(r#"{{"device":{{"id":"{}","m":"{EMAIL}"}}}}"#, base64(&sha256(EMAIL.as_bytes())));
        let mut message = match which {
            0 => gzip(inner.as_bytes()),
            1 => base64(&zlib(inner.as_bytes())).into_bytes(),
            2 => zstd::encode_all(inner.as_bytes(), 1).unwrap(),
            3 => percent(inner.as_bytes()).into_bytes(),
            4 => json_escaped(&inner).into_bytes(),
            5 => html(&inner).into_bytes(),
            6 => quoted(&inner).into_bytes(),
            _ => inner.into_bytes(),
        };
        let place = at.index(message.len());
        message[place] = byte;
        message.truncate(cut.index(message.len()) + 1);
        let len = message.len() as u64;
        for packed in [None, Some(Packed::Brotli), Some(Packed::Deflate)] {
            engine().peel(&message, packed, Budget::MESSAGE, &mut |f: Found| assert!(f.span.start < f.span.end && f.span.end <= len, "{f:?} in {len}"));
        }
        let _ = Text::veiled(&message, engine());
    }
}

#[test]
fn a_message_is_searched_once_and_told_as_often_as_it_comes() {
    let engine = engine();
    let count = |text: &str| {
        let mut found = 0;
        let peeled = engine.peel_once(text.as_bytes(), &mut |_: Found| found += 1);
        (found, peeled.output > 0)
    };
    let (clean, dirty) = ("POST /a HTTP/1.1\r\nX: bm90aGluZyBpcyBoZXJlIGF0IGFsbA==\r\n\r\n", format!("mail={EMAIL}&n=1"));
    assert_eq!([count(clean), count(clean), count(clean)], [(0, true), (0, false), (0, false)]);
    assert_eq!([count(&dirty), count(&dirty)].map(|(found, _)| found), [1, 1]);
    assert_eq!(count(&format!("{clean}{EMAIL}")), (1, true));
    // What was searched for shapes and values was not searched for values alone, and the other way round.
    let mut found = 0;
    assert!(engine.peel_planted(clean.as_bytes(), &mut |_: Found| found += 1).output > 0 && found == 0);
}

/// However many values have a shape, what is planted is found behind them, and what is not listed is told to be so.
#[test]
fn shapes_do_not_hide_what_is_planted() {
    let engine = engine();
    let book: String = (0..1100).map(|n| format!("user{n}@host{n}.test\n")).collect();
    let coded = crate::encode::hex(base64(format!("serial R58M12ABCDE of {EMAIL}").as_bytes()).as_bytes());
    for message in [format!("{book}{coded}\n"), format!("{coded}\n{book}"), format!("{book}{EMAIL}\nR58M12ABCDE")] {
        let mut seeds = Vec::new();
        let peeled = engine.peel(message.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| seeds.extend(f.seed));
        assert!(["email-main", "serial"].iter().all(|seed| seeds.iter().any(|s| s.as_str() == *seed)), "{seeds:?}");
        assert!(peeled.stopped.is_some() && peeled.finds <= 1026, "{peeled:?}");
    }
}

#[test]
fn what_could_not_be_searched_to_the_end_is_not_taken_for_clean() {
    let engine = engine();
    let onion = (0..20).fold(b"nobody".to_vec(), |inner, _| base64(&[b"....", &inner[..]].concat()).into_bytes());
    for _ in 0..2 {
        assert!(engine.peel_once(&onion, &mut |_: Found| ()).stopped.is_some());
    }
}

/// A phone's number as people group it, and a link address as `ether_ntoa` prints it.
#[test]
fn everyday_spellings() {
    let found = |kind, value: &str, text: &str| {
        let engine = Engine::new([Seed { name: "it".into(), kind, value: value.into() }], &[7; 32]);
        let mut got = Vec::new();
        engine.peel(text.as_bytes(), None, Budget::MESSAGE, &mut |f: Found| got.push(f.grade));
        got.contains(&crate::observation::Grade::Proof)
    };
    for text in ["07700 900139", "+44 7700 900139", "+44 (0)7700 900139", "07700-900-139"] {
        assert!(found(Kind::Msisdn, "+447700900139", &format!("call {text} now")), "{text}");
    }
    for text in ["(202) 555-0143", "202.555.0143", "1-202-555-0143", "+1 202 555 0143"] {
        assert!(found(Kind::Msisdn, "+12025550143", &format!("call {text} now")), "{text}");
    }
    for text in ["06 12 34 56 78", "+33 6 12 34 56 78", "06.12.34.56.78"] {
        assert!(found(Kind::Msisdn, "+33612345678", &format!("call {text} now")), "{text}");
    }
    assert!(!found(Kind::Msisdn, "+447700900139", "call 07700 900138 now"));
    assert!(found(Kind::Mac, "02:00:5e:01:02:9b", "mac=2:0:5e:1:2:9b"));
    assert!(!found(Kind::Mac, "02:00:5e:01:02:9b", "mac=2:0:5e:1:2:9c"));
}

/// What is packed behind other bytes more often than is tried is told to be so.
#[test]
fn an_archive_of_many_members() {
    let deflated = |bytes: &[u8]| {
        use std::io::Write;
        let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(bytes).unwrap();
        out.finish().unwrap()
    };
    let member = |n: usize, bytes: &[u8]| {
        let (name, data) = (format!("{n}.txt"), deflated(bytes));
        let mut out = b"PK\x03\x04\x14\0\0\0\x08\0\0\0\0\0\0\0\0\0".to_vec();
        out.extend((data.len() as u32).to_le_bytes());
        out.extend((bytes.len() as u32).to_le_bytes());
        out.extend((name.len() as u16).to_le_bytes());
        out.extend([0, 0]);
        out.extend(name.as_bytes());
        out.extend(data);
        out
    };
    let archive: Vec<u8> = (0..200)
        .flat_map(|n| member(n, if n == 150 { b"imei 490154203237518 of the phone" } else { b"nothing of note stands here" }))
        .collect();
    let engine = Engine::new([Seed { name: "imei".into(), kind: Kind::Imei, value: "490154203237518".into() }], &[7; 32]);
    let mut got = 0;
    let peeled = engine.peel(&archive, None, Budget::MESSAGE, &mut |f: Found| got += usize::from(f.seed.is_some()));
    assert!(got > 0 || peeled.stopped.is_some());
    assert_eq!(got, 1);
    // Streams of zlib without end: not all of them are tried, and that is said.
    let decoys: Vec<u8> = (0..2000u32).flat_map(|n| [&[0x78, 0x9c, 0xff][..], &n.to_le_bytes()].concat()).collect();
    assert!(engine.peel(&decoys, None, Budget::MESSAGE, &mut |_: Found| {}).stopped.is_some());
}
