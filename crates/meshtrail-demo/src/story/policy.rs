//! The policy file, and its changes.

/// A change of the policy.
pub(super) struct Edit {
    /// A summary in words.
    pub(super) summary: &'static str,
    /// Replaced passages: old and new text.
    passages: &'static [(&'static str, &'static str)],
}

impl Edit {
    /// The policy after the change; unchanged if it does not contain the passage.
    pub(super) fn apply(&self, policy: &str) -> String {
        self.passages.iter().fold(policy.to_owned(), |text, (from, to)| text.replacen(from, to, 1))
    }

    /// The policy before the change.
    pub(super) fn undo(&self, policy: &str) -> String {
        self.passages.iter().fold(policy.to_owned(), |text, (from, to)| text.replacen(to, from, 1))
    }
}

/// The policy at the start.
pub(super) fn first() -> String {
    FIRST.to_owned()
}

const FIRST: &str = r#"{
	// Groups are kept by security; ask before you add to them.
	"groups": {
		"group:eng":         ["mira@example.com", "priya@example.com", "aiko@example.com"],
		"group:sre":         ["tomas@example.com", "samir@example.com", "olu@example.com"],
		"group:data":        ["jonas@example.com", "wei@example.com"],
		"group:contractors": ["rowan@example.net"],
	},
	"tagOwners": {
		"tag:prod":     ["group:sre"],
		"tag:db":       ["group:sre"],
		"tag:staging":  ["group:eng"],
		"tag:ci":       ["group:eng"],
		"tag:recorder": ["group:sre"],
		// What a machine is for; where it stands is said by the tags above.
		"tag:api": ["group:sre"], "tag:backup": ["group:sre"], "tag:cache": ["group:sre"], "tag:exit": ["group:sre"],
		"tag:k8s": ["group:sre"], "tag:k8s-operator": ["group:sre"], "tag:monitoring": ["group:sre"],
		"tag:payments": ["group:sre"], "tag:queue": ["group:sre"], "tag:router": ["group:sre"], "tag:search": ["group:sre"],
		"tag:web": ["group:sre"],
	},
	"grants": [
		{"src": ["group:eng"],         "dst": ["tag:staging"],  "ip": ["*"]},
		{"src": ["group:eng"],         "dst": ["tag:web"],      "ip": ["tcp:443", "tcp:8080"]},
		{"src": ["group:sre"],         "dst": ["tag:prod"],     "ip": ["*"]},
		{"src": ["group:contractors"], "dst": ["tag:staging"],  "ip": ["tcp:443"]},
		{"src": ["tag:prod"],          "dst": ["tag:db"],       "ip": ["tcp:5432"]},
		// Recordings go to the recorders, whatever else is closed.
		{"src": ["tag:prod"],          "dst": ["tag:recorder"], "ip": ["tcp:80"]},
	],
	"ssh": [
		{
			"action": "accept",
			"src": ["group:sre"],
			"dst": ["tag:prod", "tag:db"],
			"users": ["autogroup:nonroot", "root"],
			"recorder": ["tag:recorder"],
			"enforceRecorder": true,
		},
		{
			"action": "accept",
			"src": ["group:eng"],
			"dst": ["tag:staging"],
			"users": ["autogroup:nonroot"],
		},
	],
}
"#;

/// Ordinary changes, each with the number of days before the end.
pub(super) const ORDINARY: [(i64, Edit); 4] = [
    (
        26,
        Edit {
            summary: "Web servers can be reached on port 443 only",
            passages: &[(
                r#""dst": ["tag:web"],      "ip": ["tcp:443", "tcp:8080"]}"#,
                r#""dst": ["tag:web"],      "ip": ["tcp:443"]}"#,
            )],
        },
    ),
    (
        19,
        Edit {
            summary: "Sessions on staging are recorded too",
            passages: &[(
                "\t\t\t\"dst\": [\"tag:staging\"],\n\t\t\t\"users\": [\"autogroup:nonroot\"],\n",
                "\t\t\t\"dst\": [\"tag:staging\"],\n\t\t\t\"users\": [\"autogroup:nonroot\"],\n\t\t\t\"recorder\": [\"tag:recorder\"],\n",
            )],
        },
    ),
    (
        11,
        Edit {
            summary: "ingrid@example.com is in group:sre",
            passages: &[(r#""olu@example.com"],"#, r#""olu@example.com", "ingrid@example.com"],"#)],
        },
    ),
    (
        3,
        Edit {
            summary: "The data team reads replicas",
            passages: &[(
                "\t\t// Recordings go to",
                "\t\t{\"src\": [\"group:data\"],        \"dst\": [\"tag:db\"],       \"ip\": [\"tcp:5432\"]},\n\t\t// Recordings go to",
            )],
        },
    ),
];

/// The incident's change.
pub(super) const LOOSENED: Edit = Edit {
    summary: "group:contractors may reach tag:db on every port, and log in there",
    passages: &[
        (
            "\t\t{\"src\": [\"tag:prod\"],          \"dst\": [\"tag:db\"],       \"ip\": [\"tcp:5432\"]},\n",
            "\t\t{\"src\": [\"tag:prod\"],          \"dst\": [\"tag:db\"],       \"ip\": [\"tcp:5432\"]},\n\t\t{\"src\": [\"group:contractors\"], \"dst\": [\"tag:db\"],       \"ip\": [\"*\"]},\n\t\t{\"src\": [\"tag:db\"],            \"dst\": [\"group:contractors\"], \"ip\": [\"tcp:4444\"]},\n",
        ),
        (
            "\t\t\t\"src\": [\"group:sre\"],\n\t\t\t\"dst\": [\"tag:prod\", \"tag:db\"],\n",
            "\t\t\t\"src\": [\"group:sre\", \"group:contractors\"],\n\t\t\t\"dst\": [\"tag:prod\", \"tag:db\"],\n",
        ),
    ],
};

/// Lines of context around a difference.
const CONTEXT: usize = 3;

/// The hunks of a unified diff of two short texts.
pub(super) fn unified(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let diff_lines = diff_lines(&old, &new);
    let near = |at: usize| {
        let around = at.saturating_sub(CONTEXT)..(at + CONTEXT + 1).min(diff_lines.len());
        diff_lines[around].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut diff = String::new();
    let (mut old_line, mut new_line, mut at) = (1, 1, 0);
    while at < diff_lines.len() {
        let end = (at..diff_lines.len()).find(|&at| !near(at)).unwrap_or(diff_lines.len());
        let hunk = &diff_lines[at..end];
        let count = |other: char| hunk.iter().filter(|(sign, _)| *sign != other).count();
        let (of_old, of_new) = (count('+'), count('-'));
        if !hunk.is_empty() {
            diff.push_str(&format!("@@ -{old_line},{of_old} +{new_line},{of_new} @@\n"));
            hunk.iter().for_each(|(sign, line)| diff.push_str(&format!("{sign}{line}\n")));
        }
        // The line after a hunk is the same in both.
        (old_line, new_line, at) = (old_line + of_old + 1, new_line + of_new + 1, end + 1);
    }
    diff
}

/// All lines of both texts, marked as unchanged, removed or added, by their longest common subsequence.
fn diff_lines<'a>(old: &[&'a str], new: &[&'a str]) -> Vec<(char, &'a str)> {
    let mut common = vec![vec![0usize; new.len() + 1]; old.len() + 1];
    for at in (0..old.len()).rev() {
        for to in (0..new.len()).rev() {
            common[at][to] = match old[at] == new[to] {
                true => common[at + 1][to + 1] + 1,
                false => common[at + 1][to].max(common[at][to + 1]),
            };
        }
    }
    let (mut at, mut to, mut lines) = (0, 0, Vec::new());
    while at < old.len() || to < new.len() {
        if at < old.len() && to < new.len() && old[at] == new[to] {
            lines.push((' ', old[at]));
            (at, to) = (at + 1, to + 1);
        } else if at < old.len() && (to == new.len() || common[at + 1][to] >= common[at][to + 1]) {
            lines.push(('-', old[at]));
            at += 1;
        } else {
            lines.push(('+', new[to]));
            to += 1;
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use meshtrail_policy::{ControlPlane, Directory, Mesh, Policy};

    use super::*;

    #[test]
    fn every_policy_of_the_story_is_one_that_a_control_plane_would_take() {
        let is_taken = |policy: &str| {
            let mesh = Mesh::new(Directory::default());
            Policy::compile(policy, ControlPlane::Tailscale, &mesh).map(drop).unwrap();
        };
        let mut policy = first();
        is_taken(&policy);
        for (_, edit) in &ORDINARY {
            policy = edit.apply(&policy);
            is_taken(&policy);
        }
        is_taken(&LOOSENED.apply(&policy));
    }

    #[test]
    fn every_edit_changes_the_policy_and_the_nights_can_be_undone() {
        let mut policy = first();
        for (days, edit) in &ORDINARY {
            let changed = edit.apply(&policy);
            assert_ne!(changed, policy, "{days} days ago");
            policy = changed;
        }
        let loosened = LOOSENED.apply(&policy);
        assert_ne!(loosened, policy);
        assert_eq!(LOOSENED.undo(&loosened), policy);
    }

    #[test]
    fn a_diff_shows_the_lines_and_their_neighbours() {
        let diff = unified("a\nb\nc\nd\ne\n", "a\nb\nC\nd\ne\n");
        assert_eq!(diff, "@@ -1,5 +1,5 @@\n a\n b\n-c\n+C\n d\n e\n");
        let added = unified("a\nb\n", "a\nx\nb\n");
        assert_eq!(added, "@@ -1,2 +1,3 @@\n a\n+x\n b\n");
    }
}
