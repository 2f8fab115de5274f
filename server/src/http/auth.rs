//! Authorization: opaque tokens, kept as SHA-256 digests.
//!
//! The file contains digests, so reading it reveals no token; tokens are random and long, so a fast digest is enough. A
//! presented token is digested and compared with every entry, each in constant time and without stopping early, so the
//! time taken reveals nothing about the entries.
//!
//! # Format
//! One token per line: `sha256:` and 64 hexadecimal digits, then optionally its rights (`read`; `write`; `queries`,
//! which allows canceling those of others; `admin`; joined by commas; `all` is the default), then optionally a name. A
//! word `tenant=NAME` anywhere after the digest restricts the token to one tenant. Blank lines and lines that begin
//! with `#` are ignored.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use hyper::StatusCode;
use hyper::header::{self, HeaderMap};
use sha2::{Digest, Sha256};

use crate::error::ApiError;

/// Maximum length of a token in bytes; longer ones are refused unseen.
const TOKEN_MAX: usize = 1024;

/// The right that a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No right is needed.
    Public,
    /// Reading or writing: for requests that writers make before they write. Handlers require more where necessary.
    ReadOrWrite,
    /// Reading samples and settings.
    Read,
    /// Writing samples.
    Write,
    /// Cancelling the queries of others.
    Queries,
    /// Deleting and snapshots. Also disabled unless `enable_admin` is set.
    Admin,
}

/// The accepted tokens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tokens {
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    digest: [u8; 32],
    read: bool,
    write: bool,
    queries: bool,
    admin: bool,
    tenant: Option<Arc<str>>,
}

/// Why a token file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file could not be read.
    #[error("{}: {cause}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The error of the operating system.
        cause: std::io::Error,
    },
    /// A line is not a token.
    #[error("{}: line {line}: {reason}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line number, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A token belongs to a tenant, but no label of tenants is set.
    #[error("{}: a token has tenant={tenant}, but tenant_label is empty: set it, or leave tenant= out", path.display())]
    NoTenants {
        /// The file.
        path: PathBuf,
        /// The tenant.
        tenant: String,
    },
    /// The file contains no token, so no client could connect.
    #[error("{}: holds no token; make one with `barograph token`", path.display())]
    Empty {
        /// The file.
        path: PathBuf,
    },
}

impl Tokens {
    /// Reads a token file. Tokens of a tenant require a label of tenants, `tenant_label`.
    ///
    /// # Errors
    /// [`TokenError`] with the line.
    pub fn load(path: &Path, tenant_label: &str) -> Result<Self, TokenError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| TokenError::Read { path: path.to_owned(), cause })?;
        let mut tokens = Tokens::default();
        for (i, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let entry = parse_entry(line).map_err(|reason| TokenError::Line {
                path: path.to_owned(),
                line: i + 1,
                reason,
            })?;
            let is_other = |known: &&Entry| known.digest == entry.digest && known.tenant != entry.tenant;
            if tokens.entries.iter().any(|known| is_other(&known)) {
                let reason = "the same token is listed before with another tenant, or with none".to_owned();
                return Err(TokenError::Line { path: path.to_owned(), line: i + 1, reason });
            }
            tokens.entries.push(entry);
        }
        let tenant = tokens.entries.iter().find_map(|entry| entry.tenant.as_deref());
        if let Some(tenant) = tenant.filter(|_| tenant_label.is_empty()) {
            return Err(TokenError::NoTenants { path: path.to_owned(), tenant: tenant.to_owned() });
        }
        if tokens.entries.is_empty() {
            return Err(TokenError::Empty { path: path.to_owned() });
        }
        Ok(tokens)
    }

    /// Checks the token of a request against the right that its route needs. Returns the tenant that the token is
    /// restricted to.
    ///
    /// # Errors
    /// 401 without a known token, 403 if the token lacks the right.
    pub fn check(
        &self,
        headers: &HeaderMap,
        query_token: Option<&str>,
        need: Access,
    ) -> Result<Option<Arc<str>>, ApiError> {
        let denied = |message: &str| ApiError::new(StatusCode::UNAUTHORIZED, "unauthorized", message);
        let presented = presented(headers).or_else(|| query_token.map(|t| t.as_bytes().to_vec()));
        let Some(token) = presented.filter(|token| !token.is_empty()) else {
            return Err(denied("a token is required: Authorization: Bearer TOKEN, or Token TOKEN"));
        };
        if token.len() > TOKEN_MAX {
            return Err(denied("the token is not accepted"));
        }
        let digest: [u8; 32] = Sha256::digest(&token).into();
        let mut known = false;
        let mut allowed = false;
        let mut tenant = None;
        for entry in &self.entries {
            let same = same(&digest, &entry.digest);
            known |= same;
            allowed |= same & entry.allows(need);
            if same {
                tenant.clone_from(&entry.tenant);
            }
        }
        match (known, allowed) {
            (false, _) => Err(denied("the token is not accepted")),
            (true, false) => Err(ApiError::forbidden("the token does not allow this")),
            (true, true) => Ok(tenant),
        }
    }
}

impl Entry {
    fn allows(&self, need: Access) -> bool {
        match need {
            Access::Public => true,
            Access::ReadOrWrite => self.read || self.write,
            Access::Read => self.read,
            Access::Write => self.write,
            Access::Queries => self.queries,
            Access::Admin => self.admin,
        }
    }
}

/// Compares in constant time.
fn same(a: &[u8; 32], b: &[u8; 32]) -> bool {
    let difference = a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y));
    std::hint::black_box(difference) == 0
}

/// The token in an `Authorization` header: `Bearer`; InfluxDB 2's `Token`, alone or after a user name; or the password
/// of `Basic`, which InfluxDB 1 clients and Grafana send.
fn presented(headers: &HeaderMap) -> Option<Vec<u8>> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let space = value.iter().position(|&b| b == b' ')?;
    let (scheme, rest) = (&value[..space], value[space + 1..].trim_ascii());
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(rest.to_vec());
    }
    if scheme.eq_ignore_ascii_case(b"token") {
        // InfluxDB 1's `user:password`, which users of Proxmox enter. Our tokens contain no colon.
        let start = rest.iter().position(|&b| b == b':').map_or(0, |colon| colon + 1);
        return Some(rest[start..].to_vec());
    }
    if scheme.eq_ignore_ascii_case(b"basic") && rest.len() <= 2 * TOKEN_MAX {
        let pair = base64(rest)?;
        let colon = pair.iter().position(|&b| b == b':')?;
        return Some(pair[colon + 1..].to_vec());
    }
    None
}

/// Decodes base64 with or without padding.
fn base64(text: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 3 / 4);
    let (mut bits, mut count) = (0u32, 0);
    for &letter in text {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            b'=' => break,
            _ => return None,
        };
        bits = (bits << 6) | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(bytes)
}

fn parse_entry(line: &str) -> Result<Entry, String> {
    let mut words = line.split_whitespace();
    let hex = words
        .next()
        .and_then(|word| word.strip_prefix("sha256:"))
        .ok_or("expected sha256:HEX; put the digest here, not the token (`barograph token` prints both)")?;
    let digest =
        parse_hex(hex).ok_or_else(|| format!("expected 64 hexadecimal digits, found {}", hex.len()))?;
    let mut entry = Entry { digest, read: false, write: false, queries: false, admin: false, tenant: None };
    // The words after the rights are a name, which has no effect.
    let mut rights = None;
    for word in words {
        match word.strip_prefix("tenant=") {
            Some(_) if entry.tenant.is_some() => return Err("tenant= appears twice".to_owned()),
            Some("") => return Err("tenant= has no name".to_owned()),
            Some(name) => entry.tenant = Some(name.into()),
            None => rights = rights.or(Some(word)),
        }
    }
    for scope in rights.unwrap_or("all").split(',') {
        match scope {
            "read" => entry.read = true,
            "write" => entry.write = true,
            "queries" => entry.queries = true,
            "admin" => entry.admin = true,
            "all" => {
                entry = Entry { read: true, write: true, queries: true, admin: true, ..entry };
            }
            other => return Err(format!("expected read, write, queries, admin or all, found {other:?}")),
        }
    }
    Ok(entry)
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| (byte as char).to_digit(16);
    let mut digest = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in digest.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(digest)
}

/// Creates a random token, and the line for the file.
///
/// # Errors
/// The system's random source could not be read.
pub fn generate() -> std::io::Result<(String, String)> {
    use std::io::Read;
    let mut random = [0u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut random)?;
    let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let token = hex(&random);
    let line = format!("sha256:{}", hex(&Sha256::digest(token.as_bytes())));
    Ok((token, line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Tokens, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        Tokens::load(file.path(), "db").map_err(|e| e.to_string())
    }

    fn line(token: &str, rest: &str) -> String {
        let digest: String = Sha256::digest(token.as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
        format!("sha256:{digest} {rest}\n")
    }

    fn check(tokens: &Tokens, authorization: &str, need: Access) -> u16 {
        let mut headers = HeaderMap::new();
        if !authorization.is_empty() {
            headers.insert(header::AUTHORIZATION, authorization.parse().unwrap());
        }
        tokens.check(&headers, None, need).map_or_else(|e| e.status.as_u16(), |_| 200)
    }

    #[test]
    fn tokens_open_what_they_say() {
        let text = format!("# ours\n\n{}{}", line("secret", "all ops"), line("agent", "write"));
        let tokens = load(&text).unwrap();
        for header in [
            "Bearer secret",
            "token secret",
            "Token user:secret",
            "Token :secret",
            "Basic dXNlcjpzZWNyZXQ=",
            "Basic OnNlY3JldA",
        ] {
            assert_eq!(check(&tokens, header, Access::Admin), 200, "{header}");
        }
        assert_eq!(check(&tokens, "Bearer agent", Access::Write), 200);
        assert_eq!(check(&tokens, "Bearer agent", Access::Read), 403);
        let long = format!("Bearer {}", "x".repeat(4000));
        for header in [
            "",
            "Bearer",
            "Bearer ",
            "Token user:",
            "Token secret:user",
            "Bearer user:secret",
            "Bearer wrong",
            "Digest secret",
            "Basic !!",
            "Basic dXNlcg==",
            &long,
        ] {
            assert_eq!(check(&tokens, header, Access::Read), 401, "{header:.20}");
        }
        let headers = HeaderMap::new();
        assert!(tokens.check(&headers, Some("secret"), Access::Read).is_ok());
    }

    #[test]
    fn bad_files_name_the_line() {
        assert!(load("secret\n").unwrap_err().contains("line 1: expected sha256:HEX"));
        assert!(load("# x\nsha256:12\n").unwrap_err().contains("line 2"));
        assert!(load(&line("a", "root")).unwrap_err().contains("\"root\""));
        assert!(load("# nothing\n").unwrap_err().contains("no token"));
    }

    #[test]
    fn a_token_may_be_restricted_to_a_tenant() {
        let text = [
            line("a", "tenant=x"),
            line("b", "read tenant=y ops"),
            line("c", "write the agent tenant=z"),
            line("d", "all"),
            line("b", "write tenant=y"),
        ];
        let tokens = load(&text.concat()).unwrap();
        let mut headers = HeaderMap::new();
        for (token, need, tenant) in [
            ("a", Access::Admin, Some("x")),
            ("b", Access::Read, Some("y")),
            ("b", Access::Write, Some("y")),
            ("c", Access::Write, Some("z")),
            ("d", Access::Admin, None),
        ] {
            headers.insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
            assert_eq!(tokens.check(&headers, None, need).unwrap().as_deref(), tenant, "{token}");
        }
        for (rest, why) in
            [("tenant=", "no name"), ("read tenant=a tenant=b", "twice"), ("tenant=x root", "root")]
        {
            let refused = load(&line("a", rest)).unwrap_err();
            assert!(refused.contains("line 1") && refused.contains(why), "{refused}");
        }
        for other in ["read", "read tenant=y"] {
            let refused = load(&format!("{}{}", line("a", "tenant=x"), line("a", other))).unwrap_err();
            assert!(refused.contains("line 2") && refused.contains("another tenant"), "{refused}");
        }
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), line("a", "tenant=x")).unwrap();
        let refused = Tokens::load(file.path(), "").unwrap_err().to_string();
        assert!(refused.contains("tenant=x") && refused.contains("tenant_label is empty"), "{refused}");
    }

    #[test]
    fn generated_tokens_are_accepted() {
        let (token, line) = generate().unwrap();
        let tokens = load(&line).unwrap();
        assert_eq!(check(&tokens, &format!("Bearer {token}"), Access::Admin), 200);
        assert_ne!(token, generate().unwrap().0);
    }
}
