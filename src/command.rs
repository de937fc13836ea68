//! A command line as it may be shown: what stands where programs take passwords is masked, whatever its value.

/// The words of a command, joined.
pub(crate) fn shown<S: AsRef<str>>(words: &[S]) -> String {
    let mut next = Next::Shown;
    let words: Vec<String> = words.iter().map(|word| part(word.as_ref(), &mut next)).collect();
    words.join(" ")
}

/// What the next word is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Next {
    Shown,
    Secret,
    /// A name, and behind a colon a password.
    Login,
    /// A secret unless it is a number, such as a port.
    Perhaps,
    /// A field's value, up to the quote that ends it.
    Field,
}

/// A word; one with blanks in it is a script, or a header.
fn part(word: &str, next: &mut Next) -> String {
    let is_token = |name: &str| name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if let Some((name, value)) = word.split_once(':').filter(|(name, _)| is_token(name) && is_secret(name)) {
        *next = Next::Shown;
        return format!("{name}: {}", mask(value.trim()));
    }
    let words: Vec<String> = word.split(' ').map(|one| single(one, next)).collect();
    words.join(" ")
}

fn single(word: &str, next: &mut Next) -> String {
    let before = std::mem::replace(next, Next::Shown);
    match before {
        Next::Secret => return mask(word),
        Next::Perhaps if word.parse::<u64>().is_err() && !word.starts_with('-') => return mask(word),
        Next::Login => {
            return word.split_once(':').map_or_else(|| word.to_owned(), |(name, secret)| format!("{name}:{}", mask(secret)));
        }
        Next::Field => {
            *next = if word.ends_with(['\'', '"']) { Next::Shown } else { Next::Field };
            return mask(word);
        }
        Next::Shown | Next::Perhaps => {}
    }
    if let Some(name) = word.strip_suffix(':').filter(|name| is_secret(name)) {
        *next = Next::Field;
        return format!("{name}:");
    }
    if let Some((name, value)) = word.split_once('=').filter(|(name, _)| is_secret(name)) {
        return format!("{name}={}", mask(value));
    }
    if word.starts_with('-') {
        *next = match word {
            "-u" | "--user" | "--proxy-user" | "-U" => Next::Login,
            "-w" | "-W" | "-P" => Next::Secret,
            "-p" | "-a" => Next::Perhaps,
            name if is_secret(name) => Next::Secret,
            _ => Next::Shown,
        };
    }
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://{}{}", mask(rest.get(..at).unwrap_or_default()), rest.get(at..).unwrap_or_default()),
        None => word.to_owned(),
    }
}

/// Whether a name says that its value is a secret.
fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let whole = ["cookie", "--oauth2-bearer", "bearer"].contains(&name.as_str());
    whole || ["pass", "pwd", "secret", "token", "authorization", "apikey", "api-key", "api_key"].iter().any(|part| name.contains(part))
}

/// How long it is, as everywhere.
fn mask(value: &str) -> String {
    format!("‹{}›", value.chars().count())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_of_programs() {
        for (words, expect) in [
            (&["curl", "-s", "https://shop.test/a?b=c"][..], "curl -s https://shop.test/a?b=c"),
            (&["curl", "-u", "anna:hunter2", "https://shop.test"], "curl -u anna:‹7› https://shop.test"),
            (&["curl", "https://anna:hunter2@shop.test:8443/x@y"], "curl https://‹12›@shop.test:8443/x@y"),
            (&["curl", "-H", "Authorization: Bearer abc.def"], "curl -H Authorization: ‹14›"),
            (&["curl", "-H", "X-Api-Key: k1"], "curl -H X-Api-Key: ‹2›"),
            (&["ldapsearch", "-x", "-w", "secretpw", "-p", "636"], "ldapsearch -x -w ‹8› -p 636"),
            (&["sshpass", "-p", "hunter2", "x"], "sshpass -p ‹7› x"),
            (&["wget", "--password=hunter2", "--user=anna"], "wget --password=‹7› --user=anna"),
            (&["sh", "-c", "TOKEN=abc curl -u a:bc https://x:y@z.test/"], "sh -c TOKEN=‹3› curl -u a:‹2› https://‹3›@z.test/"),
            (&["sh", "-c", "curl -H 'Authorization: Bearer abc' https://z.test"], "sh -c curl -H 'Authorization: ‹6› ‹4› https://z.test"),
            (&["openssl", "s_client", "-connect", "shop.test:443"], "openssl s_client -connect shop.test:443"),
            (&["mosquitto_pub", "-p", "8883", "-P", "x"], "mosquitto_pub -p 8883 -P ‹1›"),
        ] {
            assert_eq!(shown(words), expect);
        }
    }
}
