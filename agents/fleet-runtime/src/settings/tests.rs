#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::io::Write;
use std::time::Duration;

use serde::Deserialize;

use super::*;

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Raw {
    name: Option<String>,
    interval: Option<DurationText>,
    registries: Vec<RawRegistry>,
    limits: RawLimits,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawRegistry {
    url: String,
    token: Option<Secret>,
    token_file: Option<PathBuf>,
    #[serde(default)]
    mode: Mode,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Mode {
    #[default]
    Watch,
    PollOnly,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawLimits {
    body_bytes_max: Option<u32>,
    #[serde(rename = "Case.Kept")]
    odd: Option<bool>,
}

#[derive(Debug)]
struct Settings {
    name: String,
    interval: Duration,
    registries: Vec<(String, Option<Secret>)>,
    body_bytes_max: u32,
}

impl Checked for Settings {
    type Raw = Raw;

    fn check(raw: Raw, problems: &mut Problems) -> Option<Settings> {
        let name = problems.required("name", raw.name);
        let registries = problems.each("registries", raw.registries, |registry, problems| {
            if !registry.url.starts_with("https://") {
                problems.at("url", "is not https");
            }
            let token = problems.secret("token", registry.token, registry.token_file);
            let _ = registry.mode;
            Some((registry.url, token))
        });
        let _ = raw.limits.odd;
        let body_bytes_max = raw.limits.body_bytes_max.unwrap_or(1024);
        let interval = raw.interval.unwrap_or(DurationText::seconds(60)).get();
        Some(Settings { name: name?, interval, registries, body_bytes_max })
    }
}

fn load_text(text: &str, variables: &[(&str, &str)]) -> Result<Settings, SettingsError> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    load(&Sources { file: Some(file.path().to_owned()), variables })
}

fn problems(text: &str, variables: &[(&str, &str)]) -> Vec<String> {
    match load_text(text, variables) {
        Err(SettingsError::Problems { problems }) => problems.iter().map(Problem::to_string).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_file_and_variables_make_settings_and_variables_win() {
    let text = r#"
        name = "from file"
        interval = "15m"
        [[registries]]
        url = "https://one"
        [[registries]]
        url = "https://two"
    "#;
    let variables = [
        ("CUSTODY__NAME", "from variable"),
        ("CUSTODY__REGISTRIES__1__TOKEN", "t0ken"),
        ("CUSTODY__LIMITS__BODY_BYTES_MAX", "77"),
        ("CUSTODY_OTHER", "not ours"),
        ("PATH", "not ours"),
    ];
    let settings = load_text(text, &variables).unwrap();
    assert_eq!((settings.name.as_str(), settings.interval), ("from variable", Duration::from_secs(900)));
    assert_eq!(settings.body_bytes_max, 77);
    assert_eq!(settings.registries[0].0, "https://one");
    assert_eq!(settings.registries[1].1.as_ref().unwrap().expose(), "t0ken");
    assert!(format!("{settings:?}").contains("***") && !format!("{settings:?}").contains("t0ken"));
}

#[test]
fn every_problem_is_named_at_once_with_its_key() {
    let text = r#"
        nmae = "typo"
        interval = "soon"
        [limits]
        body_bytes_max = "many"
        unknown = 1
        [[registries]]
        url = "http://one"
        [[registries]]
        token = "without url"
        [[registries]]
        url = "https://three"
        mode = "sometimes"
        [[registries]]
        url = "https://four"
        token = "a"
        token_file = "b"
    "#;
    let found = problems(text, &[("CUSTODY__REGISTRIES__3__ULR", "x"), ("CUSTODY__A__", "y")]);
    let expected = [
        "the variable CUSTODY__A__ names no key",
        "nmae: unknown key",
        "interval: expected a duration",
        "limits.body_bytes_max: ",
        "limits.unknown: unknown key",
        "registries[1].url: is missing",
        "registries[2].mode: ",
        "registries[3].ulr: unknown key",
        "name: is missing",
        "registries[0].url: is not https",
        "registries[3].token: give either token or token_file, not both",
    ];
    for expected in expected {
        assert!(found.iter().any(|problem| problem.contains(expected)), "no {expected:?} in {found:#?}");
    }
    assert_eq!(found.len(), expected.len(), "{found:#?}");
}

#[test]
fn a_secret_is_never_in_a_problem() {
    let text = "name = \"n\"\n[[registries]]\nurl = \"https://a\"\ntoken = [\"t0psecret\"]\n";
    let found = problems(text, &[]);
    assert_eq!(found, ["registries[0].token: does not fit"]);
    let broken = problems("name = \"n\"\ntoken = \"t0psecret\n", &[]);
    assert!(!broken[0].contains("t0psecret") && broken[0].contains("line 2"), "{broken:?}");
}

#[test]
fn secrets_come_from_files_without_their_line_end() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(b"s3cret\n").unwrap();
    let text =
        |path: &str| format!("name = \"n\"\n[[registries]]\nurl = \"https://a\"\ntoken_file = \"{path}\"\n");
    let settings = load_text(&text(&file.path().display().to_string()), &[]).unwrap();
    assert_eq!(settings.registries[0].1.as_ref().unwrap().expose(), "s3cret");
    let found = problems(&text("/nowhere/at-all"), &[]);
    assert!(found[0].starts_with("registries[0].token_file: cannot open"), "{found:?}");
}

#[test]
fn odd_files_and_variables_are_errors() {
    assert!(problems("name = ", &[])[0].contains("line 1"));
    let huge = "#".repeat(usize::try_from(SETTINGS_BYTES_MAX).unwrap() + 1);
    assert!(matches!(load_text(&huge, &[]), Err(SettingsError::TooLarge { .. })));
    let far = problems("name = \"n\"", &[("CUSTODY__REGISTRIES__99999999999__URL", "x")]);
    assert_eq!(far, ["the variable CUSTODY__REGISTRIES__99999999999__URL names no key"]);
    let missing = load::<Settings>(&Sources { file: Some("/nowhere.toml".into()), variables: vec![] });
    assert!(matches!(missing, Err(SettingsError::Unreadable { .. })));
    let scalar = problems("name = \"n\"\nlimits = 3", &[("CUSTODY__LIMITS__UNKNOWN", "x")]);
    assert_eq!(scalar.len(), 1, "{scalar:?}");
}
