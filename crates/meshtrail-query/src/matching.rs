//! Matching leaves against filters.

use meshtrail_event::{Family, Kind, Timestamp};

use crate::expr::Expr;
use crate::field::Field;
use crate::parse::is_or_extends;
use crate::pattern::{Pattern, contains, contains_bytes};
use crate::strings::values;
use crate::view::{Detail, Device, Leaf};

/// The status of events without the member `identity`.
pub(crate) const UNRESOLVED: &str = "unresolved";

/// A leaf whose members are read as needed.
pub(crate) struct Subject<'a> {
    bytes: &'a [u8],
    leaf: Leaf<'a>,
    detail: std::cell::OnceCell<Detail<'a>>,
}

impl<'a> Subject<'a> {
    /// The leaf in `bytes`; `members` tells whether the filter looks at any.
    pub(crate) fn new(bytes: &'a [u8], members: bool) -> Option<Subject<'a>> {
        let leaf = if members { Leaf::read(bytes)? } else { Leaf::default() };
        Some(Subject { bytes, leaf, detail: std::cell::OnceCell::new() })
    }

    /// The leaf's members.
    pub(crate) fn leaf(&self) -> &Leaf<'a> {
        &self.leaf
    }

    fn detail(&self) -> &Detail<'a> {
        self.detail.get_or_init(|| self.leaf.detail())
    }

    fn time(&self) -> Option<Timestamp> {
        let text = self.leaf.time.get()?;
        Timestamp::parse_canonical(text.as_bytes()).or_else(|| text.parse().ok())
    }

    pub(crate) fn matches(&self, expr: &Expr, now: Timestamp) -> bool {
        match expr {
            Expr::All(parts) => parts.iter().all(|part| self.matches(part, now)),
            Expr::Any(parts) => parts.iter().any(|part| self.matches(part, now)),
            Expr::Not(part) => !self.matches(part, now),
            Expr::Since(moment) => self.time().is_some_and(|time| time >= moment.start(now)),
            Expr::Until(moment) => self.time().is_some_and(|time| time < moment.end(now)),
            Expr::Address(wanted) => {
                self.addresses(&mut |address| wanted.iter().any(|value| value.fits(address)))
            }
            Expr::Term(field, wanted) => self.has(*field, wanted),
        }
    }

    fn has(&self, field: Field, wanted: &[Pattern]) -> bool {
        let leaf = &self.leaf;
        let fits = &mut |value: &str| {
            wanted.iter().any(|pattern| pattern.fits_with_prefix(field.implied_prefix(), value))
        };
        let one = |value: Option<&str>, fits: &mut dyn FnMut(&str) -> bool| value.is_some_and(fits);
        match field {
            Field::Actor => self.actors(fits),
            Field::Person => {
                one(leaf.actor.person.login.get(), fits) || one(leaf.actor.person.name.get(), fits)
            }
            Field::Group => leaf.actor.person.groups.iter().any(fits),
            Field::Tag => self.tags(fits),
            Field::Device => {
                device_matches(&leaf.actor.device, fits)
                    || device_matches(&leaf.target.device, fits)
                    || self.detail_devices(fits)
            }
            Field::Target => self.targets(fits),
            Field::Kind => {
                one(leaf.kind.get(), &mut |kind| wanted.iter().any(|pattern| kind_fits(pattern, kind)))
            }
            Field::Outcome => one(leaf.outcome.get(), fits),
            Field::Session => one(leaf.session.get(), fits),
            Field::Id => one(leaf.id.get(), fits),
            Field::Source => one(leaf.id.get(), &mut |id| source_of(id).is_some_and(&mut *fits)),
            Field::Namespace => one(leaf.target.namespace.get(), fits),
            Field::Cluster => one(leaf.target.cluster.get(), fits),
            Field::By => one(leaf.identity.provider.get(), fits),
            Field::Identity => fits(leaf.identity.status.get().unwrap_or(UNRESOLVED)),
            Field::Argv => self.detail().argv.iter().any(fits),
            Field::Executable => one(self.detail().executable.get(), &mut |path| path_fits(path, fits)),
            Field::File => {
                self.is_of(Family::Transfer)
                    && one(self.detail().path.get(), &mut |path| path_fits(path, fits))
            }
            Field::Url => {
                self.is_of(Family::Kube)
                    && one(self.detail().path.get(), &mut |path| {
                        wanted.iter().any(|pattern| pattern.is_found_in(path))
                    })
            }
            Field::Rule => one(self.detail().rule.get(), fits),
            Field::Severity => one(self.detail().severity.get(), fits),
            Field::Status => one(self.detail().status.get(), fits),
            Field::Subject => {
                let subject = &self.detail().subject;
                one(subject.id.get(), fits) || one(subject.of_type.get(), fits)
            }
            Field::Command => one(self.detail().command.get(), &mut |command| {
                wanted.iter().any(|pattern| pattern.is_found_in(command))
            }),
            Field::Text => wanted.iter().any(|pattern| text_contains(self.bytes, pattern)),
            // These fields have expressions of their own.
            Field::Address | Field::Since | Field::Until => false,
        }
    }

    fn is_of(&self, family: Family) -> bool {
        self.leaf.kind.get().is_some_and(|kind| Kind::from(kind).family() == family)
    }

    fn actors(&self, fits: &mut dyn FnMut(&str) -> bool) -> bool {
        let (actor, claimed) = (&self.leaf.actor, &self.leaf.identity.claimed);
        let texts =
            [&actor.person.login, &actor.person.name, &actor.service, &claimed.login, &claimed.node_id];
        texts.iter().filter_map(|text| text.get()).any(&mut *fits)
            || actor.tags.iter().chain(claimed.tags.iter()).any(&mut *fits)
            || device_matches(&actor.device, fits)
            || claimed.node.get().is_some_and(|name| name_fits(name, fits))
    }

    fn tags(&self, fits: &mut dyn FnMut(&str) -> bool) -> bool {
        let leaf = &self.leaf;
        let of_actor = leaf.actor.tags.iter().chain(leaf.actor.device.tags.iter());
        of_actor.chain(leaf.target.device.tags.iter()).chain(leaf.identity.claimed.tags.iter()).any(fits)
    }

    fn targets(&self, fits: &mut dyn FnMut(&str) -> bool) -> bool {
        let target = &self.leaf.target;
        let texts = [
            &target.account,
            &target.address,
            &target.container,
            &target.id,
            &target.name,
            &target.namespace,
        ];
        let pod =
            target.namespace.get().zip(target.name.get()).map(|(space, name)| format!("{space}/{name}"));
        texts.iter().filter_map(|text| text.get()).any(&mut *fits)
            || target.device.tags.iter().any(&mut *fits)
            || device_matches(&target.device, fits)
            || pod.is_some_and(|pod| fits(&pod))
    }

    fn detail_devices(&self, fits: &mut dyn FnMut(&str) -> bool) -> bool {
        let detail = self.detail();
        let ids =
            [&detail.src_node, &detail.dst_node].into_iter().filter_map(|text| text.get()).any(&mut *fits);
        ids || detail.recorded_by.get().is_some_and(|name| name_fits(name, fits))
    }

    fn addresses(&self, fits: &mut dyn FnMut(&str) -> bool) -> bool {
        let (leaf, detail) = (&self.leaf, self.detail());
        let texts =
            [&leaf.target.address, &detail.peer, &detail.address, &detail.src, &detail.dst, &detail.bind];
        let devices = leaf.actor.device.addresses.iter().chain(leaf.target.device.addresses.iter());
        texts.iter().filter_map(|text| text.get()).chain(devices).any(fits)
    }
}

/// Whether one of a device's names matches: its full name, first label, id or an address.
fn device_matches(device: &Device<'_>, fits: &mut dyn FnMut(&str) -> bool) -> bool {
    device.name.get().is_some_and(|name| name_fits(name, fits))
        || device.id.get().is_some_and(&mut *fits)
        || device.addresses.iter().any(fits)
}

pub(crate) fn name_fits(name: &str, fits: &mut dyn FnMut(&str) -> bool) -> bool {
    fits(name) || name.split_once('.').is_some_and(|(short, _)| fits(short))
}

/// Whether a path matches, or its last part.
pub(crate) fn path_fits(path: &str, fits: &mut dyn FnMut(&str) -> bool) -> bool {
    fits(path) || path.rsplit_once('/').is_some_and(|(_, last)| fits(last))
}

pub(crate) fn kind_fits(pattern: &Pattern, kind: &str) -> bool {
    pattern.fits(kind) || (!pattern.is_wild() && is_or_extends(kind, pattern.text()))
}

pub(crate) fn source_of(id: &str) -> Option<&str> {
    id.rsplitn(3, '.').nth(2)
}

/// Whether some value in the leaf contains the text; names of members don't count.
fn text_contains(leaf: &[u8], pattern: &Pattern) -> bool {
    let text = pattern.text();
    if pattern.is_wild() {
        return values(leaf).any(|value| pattern.fits(&value));
    }
    // Excludes most leaves: a text without escaped characters stands unchanged in the leaf's bytes.
    let stands_as_it_is =
        text.bytes().all(|byte| matches!(byte, 0x20..=0x7e) && byte != b'"' && byte != b'\\');
    if stands_as_it_is && !contains_bytes(leaf, text.as_bytes()) {
        return false;
    }
    values(leaf).any(|value| contains(&value, text))
}
