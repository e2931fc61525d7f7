//! The console's sections: the entries of the navigation bar, and the assets that only one section loads.

/// The section of the console that a page belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nav {
    /// All events, and each of them.
    Timeline,
    /// Recorded sessions.
    Sessions,
    /// Who exchanged traffic with whom.
    Network,
    /// The people of the mesh.
    People,
    /// The devices of the mesh.
    Devices,
    /// Changes in the mesh.
    Changes,
    /// Where events come from.
    Sources,
    /// Export jobs.
    Exports,
    /// The sign-in page, and errors outside of any section.
    None,
}

impl Nav {
    /// The entries of the navigation bar in their order, with path and label.
    pub(crate) const ENTRIES: [(Nav, &'static str, &'static str); 8] = [
        (Nav::Timeline, "/events", "Timeline"),
        (Nav::Sessions, "/sessions", "Sessions"),
        (Nav::Network, "/network", "Network"),
        (Nav::People, "/people", "People"),
        (Nav::Devices, "/devices", "Devices"),
        (Nav::Changes, "/changes", "Changes"),
        (Nav::Sources, "/sources", "Sources"),
        (Nav::Exports, "/exports", "Exports"),
    ];

    /// The section that a path belongs to.
    pub(crate) fn of_path(path: &str) -> Nav {
        let within = |section: &str| {
            path.strip_prefix(section).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        Nav::ENTRIES.iter().find(|(_, section, _)| within(section)).map_or(Nav::None, |(nav, ..)| *nav)
    }

    /// The path and label of this section's entry.
    pub(crate) fn entry(self) -> Option<(&'static str, &'static str)> {
        Nav::ENTRIES.iter().find(|(nav, ..)| *nav == self).map(|(_, path, name)| (*path, *name))
    }

    /// The style sheet that only this section needs.
    pub(crate) fn style(self) -> Option<&'static str> {
        match self {
            Nav::Timeline => Some("timeline.css"),
            Nav::Network | Nav::People | Nav::Devices | Nav::Changes | Nav::Sources | Nav::Exports => {
                Some("pages.css")
            }
            Nav::Sessions | Nav::None => None,
        }
    }

    /// The script that only this section needs.
    pub(crate) fn script(self) -> Option<&'static str> {
        match self {
            Nav::Timeline => Some("timeline.js"),
            Nav::Network | Nav::People | Nav::Devices | Nav::Changes | Nav::Sources | Nav::Exports => {
                Some("pages.js")
            }
            Nav::Sessions | Nav::None => None,
        }
    }
}
