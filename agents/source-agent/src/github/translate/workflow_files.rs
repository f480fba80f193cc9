//! Which paths define what CI does: workflows and local actions.

/// Whether a change of this path can change what a workflow of the repository does.
///
/// Workflows lie in `.github/workflows`; an action is any folder with an `action.yml` or `action.yaml`, and whatever lies
/// in `.github/actions` belongs to one.
pub fn is_workflow_or_local_action(path: &str) -> bool {
    if path.starts_with(".github/workflows/") || path.starts_with(".github/actions/") {
        return true;
    }
    let file = path.rsplit('/').next().unwrap_or(path);
    matches!(file, "action.yml" | "action.yaml")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workflows_and_local_actions_are_told_from_other_files() {
        for path in [
            ".github/workflows/release.yml",
            ".github/workflows/nested/odd.txt",
            ".github/actions/build/run.sh",
            "action.yml",
            "tools/sign/action.yaml",
        ] {
            assert!(is_workflow_or_local_action(path), "{path}");
        }
        for path in [
            "src/main.rs",
            ".github/CODEOWNERS",
            "docs/.github/workflows.md",
            "reaction.yml",
            "x/.github/workflows/a.yml",
        ] {
            assert!(!is_workflow_or_local_action(path), "{path}");
        }
    }
}
