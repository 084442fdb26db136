//! What is known of a caller.

use zaqar_core::ProjectId;

/// What is known of a caller: from a token that was validated, from a signature, or, without
/// authentication, from what the request itself says.
///
/// It has a project always: who has none is refused before. Policies decide by it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The tenant that the caller acts for.
    pub project: ProjectId,
    /// The user, if it is known.
    pub user: Option<String>,
    /// The domain of the user, if it is known.
    pub user_domain: Option<String>,
    /// The domain of the project, if it is known.
    pub project_domain: Option<String>,
    /// What the caller's roles hold for beside the project: `all` is the whole cloud.
    pub system_scope: Option<String>,
    /// What the caller is, in the project.
    pub roles: Vec<String>,
}

impl Identity {
    /// Somebody of whom only the project is known.
    pub fn of_project(project: ProjectId) -> Self {
        Self {
            project,
            user: None,
            user_domain: None,
            project_domain: None,
            system_scope: None,
            roles: Vec::new(),
        }
    }

    /// Whether the caller has the role, in any case of letters.
    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|held| held.eq_ignore_ascii_case(role))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roles_are_compared_without_case_and_whole() {
        let mut identity = Identity::of_project(ProjectId::new("p").unwrap());
        assert!(!identity.has_role("admin"));
        identity.roles = vec!["member".to_owned(), "Admin".to_owned()];
        assert!(identity.has_role("admin"));
        assert!(!identity.has_role("adm"));
    }
}
