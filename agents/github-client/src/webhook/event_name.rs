//! The names of GitHub's webhook events, so that an unknown one is seen instead of ignored.

/// The longest event name that is read, in bytes.
pub const EVENT_NAME_BYTES_MAX: usize = 64;

/// The events of "Webhook events and payloads" in GitHub's documentation and in that of GitHub Enterprise Server,
/// sorted.
const KNOWN: [&str; 87] = [
    "branch_protection_configuration",
    "branch_protection_rule",
    "cache_sync",
    "check_run",
    "check_suite",
    "code_scanning_alert",
    "commit_comment",
    "content_reference",
    "create",
    "custom_property",
    "custom_property_promoted_to_enterprise",
    "custom_property_values",
    "delete",
    "dependabot_alert",
    "deploy_key",
    "deployment",
    "deployment_protection_rule",
    "deployment_review",
    "deployment_status",
    "discussion",
    "discussion_comment",
    "dismissal_request_code_scanning",
    "dismissal_request_dependabot",
    "dismissal_request_secret_scanning",
    "enterprise",
    "exemption_request_push_ruleset",
    "exemption_request_secret_scanning",
    "fork",
    "github_app_authorization",
    "gollum",
    "installation",
    "installation_repositories",
    "installation_target",
    "integration_installation",
    "integration_installation_repositories",
    "issue_comment",
    "issue_dependencies",
    "issues",
    "label",
    "marketplace_purchase",
    "member",
    "membership",
    "merge_group",
    "meta",
    "milestone",
    "org_block",
    "organization",
    "package",
    "page_build",
    "personal_access_token_request",
    "ping",
    "project",
    "project_card",
    "project_column",
    "projects_v2",
    "projects_v2_item",
    "projects_v2_status_update",
    "public",
    "pull_request",
    "pull_request_review",
    "pull_request_review_comment",
    "pull_request_review_thread",
    "push",
    "registry_package",
    "release",
    "repository",
    "repository_advisory",
    "repository_dispatch",
    "repository_import",
    "repository_ruleset",
    "repository_vulnerability_alert",
    "secret_scanning_alert",
    "secret_scanning_alert_location",
    "secret_scanning_scan",
    "security_advisory",
    "security_and_analysis",
    "sponsorship",
    "star",
    "status",
    "sub_issues",
    "team",
    "team_add",
    "user",
    "watch",
    "workflow_dispatch",
    "workflow_job",
    "workflow_run",
];

/// Whether GitHub documents an event of this name.
pub fn is_known(name: &str) -> bool {
    KNOWN.binary_search(&name).is_ok()
}

/// Whether the text can be an event's name at all.
pub(super) fn is_plain(name: &str) -> bool {
    !name.is_empty()
        && name.len() <= EVENT_NAME_BYTES_MAX
        && name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

    use super::*;

    #[test]
    fn the_table_is_sorted_and_plain() {
        assert!(KNOWN.is_sorted());
        assert!(KNOWN.iter().all(|name| is_plain(name)));
        assert!(is_known("push") && is_known("workflow_run") && !is_known("pushed"));
        let of_the_server_alone = ["cache_sync", "content_reference", "enterprise", "user"];
        assert!(of_the_server_alone.into_iter().all(is_known));
        assert!(is_known("integration_installation") && is_known("integration_installation_repositories"));
        assert!(!is_plain("push\u{1b}[2J") && !is_plain("") && !is_plain(&"x".repeat(65)));
    }
}
