//! Recognises the traffic of software-update channels by host, path, media type and first bytes. States facts; what they are worth, checks say.
//! Long, for most of it is the table of channels.

use crate::chunk::Layer;
use crate::observation::{Update, UpdatePart};
use crate::text::Text;

/// Who said so, and how far it is to be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A standard, a registry or the maker's own documentation.
    Documented,
    /// The client's or server's published source code.
    Code,
    /// Seen in traffic, or told by people who looked.
    Observed,
}

/// A channel told by its host and path.
#[derive(Clone, Copy, Debug)]
struct Rule {
    system: &'static str,
    /// The host is one of these, or below one of them; none = any host.
    hosts: &'static [&'static str],
    /// One of these stands in the path (a leading `^` pins it to the start, a closing `$` to the end, `*` is any text); none = any path.
    paths: &'static [&'static str],
    part: UpdatePart,
    /// The path is one that other servers have too: what was said has to agree.
    company: Company,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by the tests that hold the table, and by people"))]
    source: Source,
}

/// What beside the request's host and path has to say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Company {
    Nothing,
    /// The answer begins with one of these.
    Begins(&'static [&'static str]),
    /// One of these stands near the start of the request's or the answer's content, or is the media type of one.
    Says(&'static [&'static str]),
    /// The answer is a SHA-256 in hex on a line of its own.
    Digest,
    /// The answer is a package: its first bytes or its media type say so.
    Package,
    /// The answer is a package, or what no program writes as text.
    Binary,
    /// The answer lists packages of NuGet behind their SHA-1.
    Nupkg,
    /// The answer is a JSON object of what is signed and its signatures.
    Signed,
    /// The answer tells of a release.
    Release,
}

use Source::{Code, Documented, Observed};
use UpdatePart::{Check, Manifest, Payload};

const fn rule(
    system: &'static str,
    hosts: &'static [&'static str],
    paths: &'static [&'static str],
    part: UpdatePart,
    source: Source,
) -> Rule {
    Rule { system, hosts, paths, part, company: Company::Nothing, source }
}

impl Rule {
    const fn beside(self, company: Company) -> Rule {
        Rule { company, ..self }
    }
}

/// The first rule that matches decides; the narrower stand first.
const RULES: &[Rule] = &[
    // Android
    rule("android-ota", &["ota.googlezip.net", "android.googleapis.com"], &["^/packages/ota", "^/packages/data/ota"], Payload, Observed),
    rule("android-ota", &["ota.googlezip.net"], &[], Payload, Observed),
    rule("android-checkin", &["android.clients.google.com", "android.googleapis.com"], &["^/checkin"], Check, Observed),
    rule("samsung-fota", &["fota-cloud-dn.ospserver.net"], &["version.xml$", "version.test.xml$"], Manifest, Observed),
    rule("samsung-fota", &["fota-cloud-dn.ospserver.net", "fota-secure-dn.ospserver.net"], &[], Payload, Observed),
    rule("samsung-fota", &["fus2.shop.v-ota.com", "neofussvr.sslcs.cdngc.net", "cloud-neofussvr.sslcs.cdngc.net"], &[], Check, Observed),
    rule("miui-ota", &["update.miui.com", "update.intl.miui.com"], &["miotav3.php"], Check, Observed),
    rule(
        "miui-ota",
        &["bigota.d.miui.com", "superota.d.miui.com", "ultimateota.d.miui.com", "hugeota.d.miui.com", "bn.d.miui.com"],
        &[],
        Payload,
        Observed,
    ),
    rule("huawei-ota", &["query.hicloud.com"], &[], Check, Observed),
    rule("huawei-ota", &["update.hicloud.com", "update.dbankcdn.com"], &["filelist.xml$", "changelog.xml$"], Manifest, Observed),
    rule("huawei-ota", &["update.hicloud.com", "update.dbankcdn.com"], &[], Payload, Observed),
    rule("oppo-ota", &["ota.coloros.com", "iota.coloros.com", "component-ota-cn.allawntech.com", "otag.h2os.com"], &[], Check, Observed),
    rule("amazon-ota", &["softwareupdates.amazon.com"], &[], Check, Observed),
    rule("amazon-ota", &["fireoscaptiveportal.com"], &["ota"], Check, Observed),
    rule("lg-ota", &["snu.lge.com"], &[], Check, Observed),
    rule("roku-ota", &["configsvc.cs.roku.com", "sw.roku.com"], &[], Check, Observed),
    // Apple
    rule("apple-gdmf", &["gdmf.apple.com"], &["^/v2/assets", "^/v2/pmv"], Manifest, Code),
    rule("apple-mesu", &["mesu.apple.com"], &[".xml$", ".plist$"], Manifest, Code),
    rule("apple-tss", &["gs.apple.com"], &["^/tss/"], Check, Code),
    rule(
        "apple-update",
        &["appldnld.apple.com", "updates.cdn-apple.com", "updates-http.cdn-apple.com", "swcdn.apple.com", "secure-appldnld.apple.com"],
        &[],
        Payload,
        Documented,
    ),
    rule("apple-update", &["swscan.apple.com", "swquery.apple.com"], &[], Check, Documented),
    // Omaha: Chrome, ChromeOS, Flatcar, components
    rule("omaha", &[], &["^/service/update2$", "^/service/update2/"], Check, Code),
    rule("omaha", &[], &["/update$", "/update/$", "/service/update2"], Check, Code).beside(Company::Says(OMAHA)),
    rule(
        "omaha",
        &["redirector.gvt1.com", "dl.google.com", "edgedl.me.gvt1.com", "gvt1.com"],
        &["/edgedl/", "/chrome_component", "/release2/"],
        Payload,
        Observed,
    ),
    // Windows
    rule(
        "windows-update",
        &["windowsupdate.com", "windowsupdate.microsoft.com", "update.microsoft.com"],
        &["/selfupdate/", "wuident.cab$", "wsus3setup.cab$", "wuredir.cab$"],
        Manifest,
        Documented,
    ),
    rule(
        "windows-update",
        &["dl.delivery.mp.microsoft.com", "windowsupdate.com"],
        &["/filestreamingservice/", ".cab$", ".msu$", ".esd$", ".psf$", ".exe$", ".msi$"],
        Payload,
        Documented,
    ),
    rule("windows-update", &[], &["dl.delivery.mp.microsoft.com/filestreamingservice/"], Payload, Observed),
    rule("windows-update", &["update.microsoft.com", "windowsupdate.microsoft.com", "delivery.mp.microsoft.com"], &[], Check, Documented),
    // Linux
    rule(
        "apt",
        &[],
        &[
            "/inrelease$",
            "/dists/*/release$",
            "/dists/*/release.gpg$",
            "/dists/*/packages$",
            "/packages.gz$",
            "/packages.xz$",
            "/packages.bz2$",
            "/by-hash/sha256/",
            "/by-hash/sha512/",
        ],
        Manifest,
        Documented,
    ),
    // A flat repository: no /dists/.
    rule("apt", &[], &["/release$", "/release.gpg$", "/packages$"], Manifest, Documented).beside(Company::Begins(CONTROL)),
    rule("apt", &[], &[".deb$", ".udeb$"], Payload, Documented),
    rule("yum", &[], &["/repodata/*.xml", "/repodata/*.sqlite", "/repodata/*.yaml"], Manifest, Documented),
    rule("yum", &[], &[".rpm$", ".drpm$"], Payload, Documented),
    rule("opkg", &[], &[".ipk$"], Payload, Documented),
    rule("apk", &[], &["/apkindex.tar.gz$"], Manifest, Documented),
    // Alpine's, and Android's (both by their first bytes).
    rule("apk", &[], &[".apk$"], Payload, Documented).beside(Company::Begins(PACKED)),
    rule("pacman", &[], &[".pkg.tar.zst$", ".pkg.tar.xz$", ".pkg.tar.gz$"], Payload, Documented).beside(Company::Binary),
    rule("ostree", &[], &["/summary.sig$", "/summary.idx$"], Manifest, Code),
    rule("ostree", &[], &["/refs/heads/"], Manifest, Code).beside(Company::Digest),
    rule("fwupd", &["cdn.fwupd.org", "fwupd.org"], &["firmware.xml", ".jcat$"], Manifest, Code),
    rule("fwupd", &["cdn.fwupd.org", "fwupd.org"], &[".cab$"], Payload, Code),
    // Devices of the house
    rule("mender", &[], &["/api/devices/v1/deployments", "/api/devices/v2/deployments"], Check, Documented),
    rule("hawkbit", &[], &["/controller/v1/"], Check, Documented).beside(Company::Says(HAL)),
    rule(
        "tuya",
        &["tuyaus.com", "tuyaeu.com", "tuyacn.com", "tuyain.com", "airtake-public-data.s3.amazonaws.com"],
        &["upgrade", "firmware", ".bin$"],
        Payload,
        Observed,
    ),
    rule("tr-069", &[], &["/cwmp"], Check, Documented).beside(Company::Says(SOAP)),
    rule("lvfs", &["lvfs-cdn.fwupd.org"], &[], Payload, Code),
    rule("rauc", &[], &[".raucb$"], Payload, Documented).beside(Company::Binary),
    rule("mender", &[], &[".mender$"], Payload, Documented).beside(Company::Binary),
    rule("swupdate", &[], &[".swu$"], Payload, Documented).beside(Company::Begins(CPIO)),
    rule("openwrt", &[], &["-sysupgrade.bin$", "-sysupgrade.img.gz$", "-factory.bin$"], Payload, Documented).beside(Company::Binary),
    // Games
    rule("blizzard", &["blizzard.com", "worldofwarcraft.com", "battle.net"], &[".mfil$", "/update/"], Manifest, Observed),
    // Frameworks
    rule("tuf", &[], TUF, Manifest, Documented).beside(Company::Signed),
    rule("sparkle", &[], &["appcast", "sparkle", "/update*.xml$"], Manifest, Documented).beside(Company::Says(&["xmlns:sparkle="])),
    rule("electron", &[], ELECTRON, Manifest, Code).beside(Company::Begins(&["version:"])),
    rule("squirrel", &[], &["/releases$"], Manifest, Code).beside(Company::Nupkg),
    // Words that only an update channel uses
    rule("firmware-file", &[], &["/firmware/*.bin$", "/firmware/*.img$", "/fota/*.bin$", "/ota/*.bin$"], Payload, Observed)
        .beside(Company::Binary),
    rule("firmware-file", &[], &["/firmware/", "/fota/", "/ota/"], Payload, Observed).beside(Company::Package),
];

/// Words of paths that one of the above does not explain, where a JSON answer that names a dotted version and where to fetch it is a manifest.
const RELEASES: Rule =
    rule("release-manifest", &[], &["update", "upgrade", "firmware", "fota", "/ota"], Manifest, Observed).beside(Company::Release);

/// Metadata of The Update Framework (§7.1), with a version in front where snapshots are consistent.
const TUF: &[&str] =
    &["/timestamp.json$", "/snapshot.json$", ".snapshot.json$", "/root.json$", ".root.json$", "/targets.json$", ".targets.json$"];
/// What electron-builder's updater asks for, by platform.
const ELECTRON: &[&str] = &["/latest.yml$", "/latest-mac.yml$", "/latest-linux*.yml$"];
/// How gzip and zip begin, as far as it is text.
const PACKED: &[&str] = &["\u{1f}", "PK\u{3}\u{4}"];
/// Archives of cpio with and without checksums.
const CPIO: &[&str] = &["070701", "070702"];

/// What a release is called by where it is fetched, and by its version, in the JSON that devices of many makers ask for.
const LINKS: &[&str] =
    &["url", "uri", "link", "href", "download", "downloadurl", "download_url", "firmwareurl", "firmware_url", "file", "path", "bin"];
const VERSIONS: &[&str] = &[
    "version",
    "ver",
    "latest",
    "latestversion",
    "latest_version",
    "firmwareversion",
    "firmware_version",
    "fw_version",
    "newversion",
    "new_version",
];

/// Fields that an index of a Debian repository may begin with, and a signature (Debian repository format).
const CONTROL: &[&str] =
    &["Origin:", "Label:", "Archive:", "Suite:", "Codename:", "Component:", "Date:", "Architectures:", "Package:", "-----BEGIN PGP"];
/// Omaha says its version in the first element (protocol 3 in XML and JSON, 4 in JSON).
const OMAHA: &[&str] = &["protocol=\"3.", "\"protocol\":\"3.", "\"protocol\":\"4.0\""];
/// The answers of hawkBit's device interface, and how a device without work is told to come again.
const HAL: &[&str] = &["application/hal+json", "\"polling\""];
/// What TR-069 is spoken in (§3.4): SOAP over HTTP.
const SOAP: &[&str] = &["text/xml", "application/soap+xml", ":envelope"];

/// Hosts and paths that look like one of the above and carry no software.
const NOT_SOFTWARE: &[Rule] = &[
    // Lists of certificates Windows trusts or distrusts.
    rule(
        "windows-trust-list",
        &["windowsupdate.com"],
        &["/trustedr/", "authrootstl.cab$", "disallowedcertstl.cab$", "pinrulesstl.cab$"],
        Manifest,
        Documented,
    ),
];

/// Content told by its first bytes.
#[derive(Clone, Copy, Debug)]
struct Magic {
    system: &'static str,
    at: usize,
    bytes: &'static [u8],
    /// The bytes are too common to say it without a host, path or media type that agrees.
    needs_company: bool,
}

const fn magic(system: &'static str, at: usize, bytes: &'static [u8], needs_company: bool) -> Magic {
    Magic { system, at, bytes, needs_company }
}

/// Magic numbers of packages and firmware images, from their projects' headers.
const MAGICS: &[Magic] = &[
    magic("android-ota", 0, b"CrAU", false),
    magic("android-boot", 0, b"ANDROID!", false),
    magic("android-boot", 0, b"VNDRBOOT", false),
    magic("android-sparse", 0, &[0x3a, 0xff, 0x26, 0xed], false),
    magic("u-boot", 0, &[0x27, 0x05, 0x19, 0x56], false),
    magic("fit", 0, &[0xd0, 0x0d, 0xfe, 0xed], true),
    magic("mcuboot", 0, &[0x3d, 0xb8, 0xf3, 0x96], false),
    magic("mcuboot", 0, &[0x3c, 0xb8, 0xf3, 0x96], false),
    magic("squashfs", 0, b"hsqs", true),
    magic("ubi", 0, b"UBI#", false),
    magic("trx", 0, b"HDR0", false),
    magic("swupdate", 0, b"070702", true),
    magic("esp-image", 0, &[0xe9], true),
    magic("deb", 0, b"!<arch>\ndebian-binary", false),
    magic("rpm", 0, &[0xed, 0xab, 0xee, 0xdb], false),
    magic("cab", 0, b"MSCF", true),
    magic("zip", 0, b"PK\x03\x04", true),
    magic("gzip", 0, &[0x1f, 0x8b], true),
    magic("xz", 0, &[0xfd, b'7', b'z', b'X', b'Z', 0], true),
    magic("elf", 0, &[0x7f, b'E', b'L', b'F'], true),
    magic("chrome-extension", 0, b"Cr24", true),
];

/// Media types that name a package (IANA; Debian and Red Hat conventions).
const TYPES: &[(&str, &str)] = &[
    ("application/vnd.android.ota", "android-ota"),
    ("application/vnd.debian.binary-package", "deb"),
    ("application/x-debian-package", "deb"),
    ("application/x-rpm", "rpm"),
    ("application/x-redhat-package-manager", "rpm"),
    ("application/vnd.ms-cab-compressed", "cab"),
];

/// What a request alone says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    system: &'static str,
    part: UpdatePart,
    by: &'static str,
    company: Company,
    /// The path has a word of [`RELEASES`].
    releases: bool,
}

/// What was said on one side of an exchange.
#[derive(Clone, Copy, Debug, Default)]
pub struct Content<'a> {
    pub media: Option<&'a Text>,
    /// The first and the last bytes, without their coding; none where no content was seen.
    pub ends: Option<(&'a [u8], &'a [u8])>,
}

/// An update channel was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    part: UpdatePart,
    system: &'static str,
    by: &'static str,
    signature: Option<&'static str>,
}

impl Seen {
    pub fn observation(self, layer: Layer, host: Option<Text>, path: Text) -> Update {
        Update {
            part: self.part,
            system: Text::ours(self.system),
            layer,
            by: Text::ours(self.by),
            host,
            path,
            signature: self.signature.map(Text::ours),
        }
    }
}

/// What host (lower case, without port) and path say.
pub fn asked(host: &[u8], path: &[u8], _query: &[u8]) -> Option<Asked> {
    let path = &path.to_ascii_lowercase()[..];
    if NOT_SOFTWARE.iter().any(|r| r.fits(host, path)) {
        return None;
    }
    let releases = RELEASES.fits(host, path);
    let rule = RULES.iter().chain(releases.then_some(&RELEASES)).find(|r| r.fits(host, path))?;
    let by = if rule.hosts.is_empty() { "path" } else { "host" };
    Some(Asked { system: rule.system, part: rule.part, by, company: rule.company, releases })
}

/// What a request and its answer say together.
pub fn seen(asked: Option<&Asked>, request: Content<'_>, answer: Content<'_>, status: Option<u16>) -> Option<Seen> {
    let answer = if status.is_none_or(|s| matches!(s, 200 | 206)) { answer } else { Content::default() };
    let named = answer.media.and_then(|m| TYPES.iter().find(|(name, _)| m == name)).map(|(_, system)| *system);
    let (first, last) = answer.ends.unwrap_or_default();
    let found = MAGICS.iter().find(|m| m.fits(first));
    let signature = signature(first, last);
    // An Android package says so itself: its first entry, or its footer beside a name that only it has.
    if is_android_package(first) {
        return Some(Seen { part: Payload, system: "android-ota", by: "magic", signature });
    }
    if let Some(magic) = found.filter(|m| !m.needs_company) {
        return Some(Seen { part: Payload, system: magic.system, by: "magic", signature });
    }
    if let Some(asked) = asked {
        let agrees = match asked.company {
            Company::Nothing => true,
            Company::Begins(words) => words.iter().any(|w| first.starts_with(w.as_bytes())),
            Company::Says(words) => words.iter().any(|w| request.says(w) || answer.says(w)),
            Company::Digest => matches!(first.split_at_checked(64), Some((hex, [] | [b'\n', ..])) if hex.iter().all(u8::is_ascii_hexdigit)),
            Company::Package => found.is_some() || named.is_some(),
            Company::Binary => found.is_some() || named.is_some() || is_binary(first),
            Company::Nupkg => lists_nupkgs(first),
            Company::Signed => is_signed_json(first),
            Company::Release => tells_release(first),
        };
        if agrees {
            return Some(Seen { part: asked.part, system: asked.system, by: asked.by, signature });
        }
        if asked.releases && tells_release(first) {
            return Some(Seen { part: RELEASES.part, system: RELEASES.system, by: "path", signature });
        }
    }
    named.map(|system| Seen { part: Payload, system, by: "mime", signature })
}

impl Content<'_> {
    /// Whether `word` stands near the start of the content, or is its media type; letters match in either case.
    fn says(&self, word: &str) -> bool {
        self.media.is_some_and(|m| m == word)
            || self.ends.is_some_and(|(first, _)| first.windows(word.len()).any(|w| w.eq_ignore_ascii_case(word.as_bytes())))
    }
}

impl Rule {
    fn fits(&self, host: &[u8], path: &[u8]) -> bool {
        (self.hosts.is_empty() || self.hosts.iter().any(|h| is_below(host, h.as_bytes())))
            && (self.paths.is_empty() || self.paths.iter().any(|p| matches(path, p.as_bytes())))
    }
}

impl Magic {
    fn fits(&self, first: &[u8]) -> bool {
        first.get(self.at..).is_some_and(|f| f.starts_with(self.bytes))
            // ESP32 image: 1–16 segments and a flash mode of 0–3 follow the single magic byte.
            && (self.system != "esp-image" || matches!(first, [_, 1..=16, 0..=3, ..]))
    }
}

fn is_below(host: &[u8], parent: &[u8]) -> bool {
    host.strip_suffix(parent).is_some_and(|rest| rest.is_empty() || rest.ends_with(b"."))
}

/// `^` pins to the start, `$` to the end, `*` is any text. Both are in small letters.
fn matches(path: &[u8], pattern: &[u8]) -> bool {
    let (start, pattern) = pattern.strip_prefix(b"^").map_or((false, pattern), |p| (true, p));
    let (end, pattern) = pattern.strip_suffix(b"$").map_or((false, pattern), |p| (true, p));
    let mut rest = path;
    let mut parts = pattern.split(|b| *b == b'*').peekable();
    let mut pinned = start;
    while let Some(part) = parts.next() {
        let at = if parts.peek().is_none() && end {
            // The last part closes the path.
            rest.len().checked_sub(part.len()).filter(|at| rest.ends_with(part) && (!pinned || *at == 0))
        } else if pinned {
            rest.starts_with(part).then_some(0)
        } else {
            memchr::memmem::find(rest, part)
        };
        let Some(at) = at else { return false };
        rest = &rest[at + part.len()..];
        pinned = false;
    }
    true
}

/// The first local file header of a zip names its first entry (APPNOTE 4.3.7).
fn first_entry(first: &[u8]) -> Option<&[u8]> {
    let rest = first.strip_prefix(b"PK\x03\x04")?;
    let len = u16::from_le_bytes([*rest.get(22)?, *rest.get(23)?]);
    let name = rest.get(26..)?;
    Some(&name[..name.len().min(usize::from(len))])
}

fn is_android_package(first: &[u8]) -> bool {
    first_entry(first).is_some_and(|name| {
        name.starts_with(b"META-INF/com/android/") || name.starts_with(b"META-INF/com/google/android/") || name == b"payload.bin"
    })
}

/// Whether one byte in 16 at least is none that texts have.
fn is_binary(first: &[u8]) -> bool {
    let odd = first.iter().filter(|b| !matches!(b, b' '..=b'~' | b'\t' | b'\r' | b'\n')).count();
    // What is cut inside a letter is text all the same.
    let foreign = std::str::from_utf8(first).map_or_else(|e| e.error_len().is_some(), |text| text.contains('\0'));
    odd > 0 && odd * 16 >= first.len() && foreign
}

/// Whether a line of Squirrel's RELEASES begins: SHA-1 in hex, a package, its size.
fn lists_nupkgs(first: &[u8]) -> bool {
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    let Some((digest, [b' ', rest @ ..])) = first.split_at_checked(40) else { return false };
    digest.iter().all(u8::is_ascii_hexdigit) && memchr::memmem::find(rest, b".nupkg").is_some()
}

/// Whether JSON begins whose first member is `signatures` or `signed`.
fn is_signed_json(first: &[u8]) -> bool {
    let Some(object) = first.trim_ascii_start().strip_prefix(b"{").map(<[u8]>::trim_ascii_start) else { return false };
    object.starts_with(b"\"signatures\"") || object.starts_with(b"\"signed\"")
}

/// Whether JSON begins that says which version there is and where.
fn tells_release(first: &[u8]) -> bool {
    let (mut version, mut link) = (false, false);
    let is = |word: &[u8], words: &[&str]| words.iter().any(|w| word.eq_ignore_ascii_case(w.as_bytes()));
    // Every other piece between quotes is a string; one with a colon behind it is a name.
    let mut pieces = first.trim_ascii_start().strip_prefix(b"{").unwrap_or_default().split(|b| *b == b'"').skip(1);
    while let (Some(name), Some(after)) = (pieces.next(), pieces.next()) {
        if after.trim_ascii() != b":" {
            continue;
        }
        let Some(value) = pieces.next() else { break };
        version |= is(name, VERSIONS) && is_dotted(value);
        link |= is(name, LINKS) && (value.starts_with(b"/") || value.starts_with(b"http:") || value.starts_with(b"https:"));
        pieces.next();
    }
    version && link
}

/// A version as people write it: `1.4`, `v2.0.11-rc1`.
fn is_dotted(version: &[u8]) -> bool {
    let version = version.strip_prefix(b"v").unwrap_or(version);
    let dot = version.iter().position(|b| *b == b'.').unwrap_or_default();
    dot > 0 && version[..dot].iter().all(u8::is_ascii_digit) && version.get(dot + 1).is_some_and(u8::is_ascii_digit)
}

/// A whole-file signature (AOSP recovery): the last six bytes are where it starts from the end, `ff ff`, and the comment's size.
fn signature(first: &[u8], last: &[u8]) -> Option<&'static str> {
    // A RAUC bundle ends with its CMS signature and the length of that in eight bytes; a file system of squashfs is padded.
    if first.starts_with(b"hsqs") && last.first_chunk::<8>().is_some_and(|n| (64..=1 << 16).contains(&u64::from_be_bytes(*n))) {
        return Some("cms-footer");
    }
    let [a, b, 0xff, 0xff, c, d] = *last.get(last.len().checked_sub(6)?..)? else { return inline(first) };
    let (start, size) = (u16::from_le_bytes([a, b]), u16::from_le_bytes([c, d]));
    if first.starts_with(b"PK\x03\x04") && start > 6 && start <= size { Some("pkcs7-footer") } else { inline(first) }
}

/// A signature at the front of the content.
fn inline(first: &[u8]) -> Option<&'static str> {
    // Payload header (update_engine): magic, version u64, manifest size u64, metadata signature size u32, all big-endian.
    if first.starts_with(b"CrAU") && first.get(20..24).is_some_and(|n| n != [0; 4]) {
        return Some("payload-signature");
    }
    // TUF (§4.2.1) and what is canonical JSON: the signatures come first; there may be none.
    let mut dense = first.iter().copied().filter(|b| !b.is_ascii_whitespace());
    if b"{\"signatures\":[{".iter().all(|b| dense.next() == Some(*b)) {
        return Some("inline");
    }
    // InRelease (Debian) is a clear-signed message (RFC 9580 §7).
    first.starts_with(b"-----BEGIN PGP SIGNED MESSAGE-----").then_some("inline")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn ask(host: &str, path: &str, expect: Option<(&str, UpdatePart)>) {
        assert_eq!(asked(host.as_bytes(), path.as_bytes(), b"").map(|a| (a.system, a.part)), expect, "{host}{path}");
    }

    #[test]
    fn channels_by_request() {
        ask("ota.googlezip.net", "/packages/ota-api/package/0123.zip", Some(("android-ota", Payload)));
        ask("fota-cloud-dn.ospserver.net", "/firmware/XEF/SM-G1/version.xml", Some(("samsung-fota", Manifest)));
        ask("update.miui.com", "/updates/miotaV3.php", Some(("miui-ota", Check)));
        ask("tools.google.com", "/service/update2", Some(("omaha", Check)));
        ask("gdmf.apple.com", "/v2/assets", Some(("apple-gdmf", Manifest)));
        ask(
            "mesu.apple.com",
            "/assets/com_apple_MobileAsset_SoftwareUpdate/com_apple_MobileAsset_SoftwareUpdate.xml",
            Some(("apple-mesu", Manifest)),
        );
        ask("au.download.windowsupdate.com", "/c/msdownload/update/a.cab", Some(("windows-update", Payload)));
        ask("151.99.0.1", "/msedge.b.tlu.dl.delivery.mp.microsoft.com/filestreamingservice/files/1", Some(("windows-update", Payload)));
        ask("ctldl.windowsupdate.com", "/msdownload/update/v3/static/trustedr/en/authrootstl.cab", None);
        ask("deb.debian.org", "/debian/dists/stable/InRelease", Some(("apt", Manifest)));
        ask("deb.debian.org", "/debian/pool/main/a/a_1_all.deb", Some(("apt", Payload)));
        ask("mirror.test", "/fedora/repodata/repomd.xml", Some(("yum", Manifest)));
        ask("notapple.com", "/assets/a.xml", None);
        ask("evil-mesu.apple.com.test", "/a.xml", None);
        ask("shop.test", "/", None);
        ask("", "", None);
    }

    fn zip(name: &str) -> Vec<u8> {
        let mut out = b"PK\x03\x04".to_vec();
        out.extend([0; 22]);
        out.extend((name.len() as u16).to_le_bytes());
        out.extend([0; 2]);
        out.extend(name.as_bytes());
        out
    }

    #[track_caller]
    fn content(first: &[u8], last: &[u8], expect: Option<(&str, &str, Option<&str>)>) {
        let seen = seen(None, Content::default(), Content { media: None, ends: Some((first, last)) }, Some(200));
        assert_eq!(seen.map(|s| (s.system, s.by, s.signature)), expect);
    }

    #[test]
    fn packages_by_first_bytes() {
        let signed = [0, 0, 0x20, 0x06, 0xff, 0xff, 0x32, 0x06];
        content(&zip("META-INF/com/android/metadata"), &signed, Some(("android-ota", "magic", Some("pkcs7-footer"))));
        content(&zip("META-INF/com/android/metadata"), &[0; 8], Some(("android-ota", "magic", None)));
        content(&zip("payload.bin"), &[0; 8], Some(("android-ota", "magic", None)));
        content(&zip("classes.dex"), &signed, None);
        let mut payload = b"CrAU\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\x10\0\0\0\x01\x0b".to_vec();
        content(&payload, &[0; 8], Some(("android-ota", "magic", Some("payload-signature"))));
        payload[20..].fill(0);
        content(&payload, &[0; 8], Some(("android-ota", "magic", None)));
        content(&[0x27, 0x05, 0x19, 0x56, 1], &[0; 8], Some(("u-boot", "magic", None)));
        content(&[0xe9, 4, 2, 0], &[0; 8], None);
        content(b"PK\x03\x04", &[], None);
        content(b"", &[], None);
    }

    #[test]
    fn signatures_that_are_seen() {
        for (first, last, expect) in [
            (&br#"{"signatures":[{"keyid":"a","sig":"b"}],"signed":{}}"#[..], [0; 8], Some("inline")),
            (b"{\n \"signatures\": [\n  {", [0; 8], Some("inline")),
            (br#"{"signatures":[],"signed":{}}"#, [0; 8], None),
            (br#"{"signed":{"_type":"root"}"#, [0; 8], None),
            (b"hsqs\x01", [0, 0, 0, 0, 0, 0, 6, 0x21], Some("cms-footer")),
            (b"hsqs\x01", [0; 8], None),
        ] {
            assert_eq!(signature(first, &last), expect, "{}", String::from_utf8_lossy(first));
        }
    }

    /// A request for `path` of a host nobody knows, with what was sent and what came back.
    #[track_caller]
    fn company(path: &str, request: &[u8], answer: &[u8], status: u16, expect: Option<&str>) {
        let words = asked(b"cdn.test", path.as_bytes(), b"");
        let say = |bytes| Content { media: None, ends: Some((bytes, &[0; 8][..])) };
        assert_eq!(seen(words.as_ref(), say(request), say(answer), Some(status)).map(|s| s.system), expect, "{path}");
    }

    #[test]
    fn words_that_others_use_need_company() {
        company("/firmware/v2.bin", b"", b"<html>", 200, None);
        company("/firmware/v2.bin", b"", &[0xe9, 4, 2, 0], 200, Some("firmware-file"));
        company("/firmware/v2.bin", b"", &[0xe9, 4, 2, 0], 404, None);
        company("/press/Release", b"", b"<!DOCTYPE html>", 200, None);
        company("/repo/Release", b"", b"Origin: Shop\nSuite: stable\n", 200, Some("apt"));
        company("/debian/dists/stable/Release", b"", b"", 304, Some("apt"));
        company("/debian/dists/stable/main/binary-arm64/Packages", b"", b"", 304, Some("apt"));
        company("/shop/Packages", b"", b"{}", 200, None);
        company("/v1/update", b"{\"name\":\"Ada\"}", b"{}", 200, None);
        company("/v1/update/", b"<?xml version=\"1.0\"?><request protocol=\"3.0\">", b"<?xml", 200, Some("omaha"));
        company("/v1/status/update", b"{\"protocol\":\"4g\"}", b"", 200, None);
        company("/docs/service/update2", b"", b"<html>", 200, None);
        company("/service/update2", b"", b"", 200, Some("omaha"));
        company("/ada/code/refs/heads/main", b"", b"<html>", 200, None);
        company("/code.git/refs/heads/main", b"", &[b'a'; 40], 200, None);
        company("/repo/refs/heads/stable", b"", &[b'a'; 64], 200, Some("ostree"));
        company("/game/controller/v1/buttons", b"", b"{\"a\":1}", 200, None);
        company("/shop/controller/v1/box7", b"", b"{\"config\":{\"polling\":{\"sleep\":\"00:05\"}}}", 200, Some("hawkbit"));
        company("/docs/cwmp", b"", b"<html>", 200, None);
        company("/cwmp", b"<soap-env:Envelope xmlns", b"", 200, Some("tr-069"));
        company("/blog/repodata/index.html", b"", b"<html>", 200, None);
        company("/el9/repodata/repomd.xml", b"", b"<?xml", 200, Some("yum"));
        let noise = b"\x28\xb5\x2f\xfd\x9c\x01\xee\xfe\x80";
        for (path, answer, expect) in [
            ("/metadata/timestamp.json", &br#"{"signatures":[{"keyid":"a","sig":"b"}],"signed":{"_type":"timestamp""#[..], "tuf"),
            ("/2.root.json", b"{\n \"signed\": {\n  \"_type\": \"root\"", "tuf"),
            ("/appcast.xml", br#"<?xml version="1.0"?><rss version="2.0" xmlns:sparkle="http://www.andymatuschak.org/"#, "sparkle"),
            ("/latest-mac.yml", b"version: 1.2.3\nfiles:\n", "electron"),
            ("/update/RELEASES", b"94689FEDE03FED7AB59C24337673A27837F0C3EC MyApp-1.0.nupkg 1004502\n", "squirrel"),
            ("/b.raucb", b"hsqs\x01\0\0\0", "rauc"),
            ("/a.mender", noise, "mender"),
            ("/img.swu", b"070702\0\x01", "swupdate"),
            ("/core/os/x86_64/linux-6.1-x86_64.pkg.tar.zst", noise, "pacman"),
            ("/alpine/v3.19/main/x86_64/busybox-1.36.1-r15.apk", b"\x1f\x8b\x08\0", "apk"),
            ("/dl/app-release.apk", b"PK\x03\x04\x14\0\0\0", "apk"),
            ("/targets/ath79/openwrt-23.05-squashfs-sysupgrade.bin", noise, "openwrt"),
            ("/firmware/x1.bin", noise, "firmware-file"),
        ] {
            company(path, b"", answer, 200, Some(expect));
            company(path, b"", b"<!DOCTYPE html><title>None</title>", 200, None);
            company(path, b"", answer, 404, None);
        }
        company("/timestamp.json", b"", br#"{"time":1700000000,"signed":true}"#, 200, None);
        company("/feed.xml", b"", br#"<rss version="2.0"><channel>"#, 200, None);
        company("/music/releases", b"", b"New albums of the week", 200, None);
        company("/config/latest.yml", b"", b"colour: red\n", 200, None);
        company("/firmware/notes.bin", b"", "Schöne Grüße".as_bytes(), 200, None);
        let release = br#"{"version":"9.9.9","url":"http://a.test/9","sha256":""}"#;
        company("/update/manifest.json", b"", release, 200, Some("release-manifest"));
        company("/box7/Firmware", b"", br#"{"box7": {"path" : "/9.bin", "ver" : "v1.2-rc"#, 200, Some("release-manifest"));
        company("/box7/update", b"", release, 200, Some("release-manifest"));
        company("/firmware/latest", b"", release, 200, Some("release-manifest"));
        company("/update/manifest.json", b"", release, 404, None);
        company("/news/latest.json", b"", release, 200, None);
        company("/update", b"", br#"{"version":"1","url":"http://a.test/9"}"#, 200, None);
        company("/update", b"", br#"{"version":"1.2","note":"/a"}"#, 200, None);
        company("/update", b"", br#"{"note":"version","1.2":"url","/":""}"#, 200, None);
        company("/update", b"", b"<p>\"version\":\"1.2\",\"url\":\"/a\"", 200, None);
    }

    #[test]
    fn patterns() {
        for (pattern, path, expect) in [
            ("/a$", "/b/a", true),
            ("/a$", "/ab", false),
            ("^/a", "/ab", true),
            ("^/a", "/b/a", false),
            ("^/a$", "/a", true),
            ("^/a$", "/a/a", false),
            ("/a/*/c$", "/x/a/b/c", true),
            ("/a/*/c$", "/x/a/c", false),
            ("^/a/*.b", "/a/x.b.gz", true),
            ("^/a/*.b", "/x/a/x.b", false),
            ("a*a$", "a", false),
            ("", "", true),
        ] {
            assert_eq!(matches(path.as_bytes(), pattern.as_bytes()), expect, "{pattern} {path}");
        }
    }

    #[test]
    fn rules_are_well_formed() {
        for rule in RULES {
            assert!(!rule.hosts.is_empty() || !rule.paths.is_empty(), "{} would match everything", rule.system);
            assert!(rule.hosts.iter().chain(rule.paths).all(|h| *h == h.to_lowercase()), "{}", rule.system);
            assert!(matches!(rule.source, Source::Documented | Source::Code | Source::Observed));
        }
    }

    #[test]
    fn media_types() {
        let media = Text::ours("application/vnd.android.ota");
        let answer = Content { media: Some(&media), ends: None };
        let words = asked(b"cdn.test", b"/update/9", b"");
        assert_eq!(seen(words.as_ref(), Content::default(), answer, Some(200)).map(|s| (s.system, s.by)), Some(("android-ota", "mime")));
        assert_eq!(seen(None, Content::default(), answer, Some(200)).map(|s| s.system), Some("android-ota"));
        assert_eq!(seen(None, Content::default(), answer, Some(404)), None);
    }
}
