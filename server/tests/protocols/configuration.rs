//! `docs/configuration.md` is generated from the table of settings.

use std::fmt::Write as _;

use barograph_server::config::settings::{SETTINGS, Setting};

const INTRO: &str = "\
# Configuration

Generated from the table of settings in `server/src/config/settings.rs`. `make test` fails if this page differs from it;
`BAROGRAPH_WRITE_DOCS=1 cargo test --release --workspace --test protocols configuration` writes it again.

The server takes a setting from the flag of `barograph serve`, the environment variable, or the file named by
`--config FILE`. The first of these that has the setting wins; if none has it, the default applies. The file is TOML, and
its keys are the names of the settings:

```toml
memory = \"2GiB\"
retention = \"90d\"
listen = \"0.0.0.0:10130\"
```

For example, the setting `max_body` is the flag `--max-body`, the variable `BAROGRAPH_MAX_BODY` and the key `max_body`. If a
value is invalid, the server does not start, and the error names the setting and where the value came from. On SIGHUP, the
server reads the file again and applies the settings marked *reloadable*; the log names other changed settings, which need
a restart. `/api/v1/status/config` shows the values in use. `docs/operations.md` says how to choose sizes.

Sizes have the suffixes KiB, MiB, GiB or TiB. Durations have the suffixes ms, s, m, h, d, w or y, which can be combined, as
in `1h30m`.
";

fn page() -> String {
    let mut page = INTRO.to_owned();
    let mut group = "";
    for setting in SETTINGS {
        if setting.group != group {
            group = setting.group;
            write!(page, "\n## {group}\n").unwrap();
        }
        page.push_str(&entry(setting));
    }
    page
}

fn entry(setting: &Setting) -> String {
    let value = if setting.is_switch() { String::new() } else { format!("={}", setting.value_name) };
    let default = match (setting.is_switch(), setting.default) {
        (true, _) => "off".to_owned(),
        (false, "") => "unset".to_owned(),
        (false, default) => format!("`{default}`"),
    };
    let reload = if setting.reloadable { " · reloadable" } else { "" };
    let doc = wrapped(setting.doc);
    format!("\n### `{}`\n\n`--{}{value}` · default {default}{reload}\n\n{doc}\n", setting.key, setting.flag())
}

/// Breaks the text into lines of at most 120 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("it begins with one");
        if line.is_empty() {
            line.push_str(word);
        } else if line.len() + 1 + word.len() <= 120 {
            line.push(' ');
            line.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

#[test]
fn the_page_of_settings_is_current() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/configuration.md");
    let page = page();
    if std::env::var_os("BAROGRAPH_WRITE_DOCS").is_some() {
        std::fs::write(path, &page).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == page,
        "docs/configuration.md differs from the table: run this test with BAROGRAPH_WRITE_DOCS=1"
    );
}
