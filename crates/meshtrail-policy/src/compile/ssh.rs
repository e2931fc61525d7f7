//! Rules of `ssh`, compiled.

use super::access::{Compiler, DestinationId, SourceId};
use super::postures::PostureId;
use crate::directory::Role;
use crate::file::{Autogroup, CheckPeriod, LocalUserPattern, RuleSite, Selector, SshRule};

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct CompiledSsh {
    pub(crate) site: RuleSite,
    /// The period of a check; `None` accepts at once.
    pub(crate) check: Option<CheckPeriod>,
    pub(crate) sources: Vec<SourceId>,
    /// Roles that the sources name, to tell apart who just has another one.
    pub(crate) roles: Vec<Role>,
    pub(crate) destinations: Vec<DestinationId>,
    /// Whether `autogroup:self` is among the destinations.
    pub(crate) own_devices: bool,
    pub(crate) users: Vec<LocalUserPattern>,
    pub(crate) accept_env: Vec<String>,
    pub(crate) recorders: Vec<String>,
    pub(crate) enforce_recorder: bool,
    pub(crate) postures: Vec<PostureId>,
    pub(crate) unknown: Vec<String>,
}

pub(crate) fn compile(rule: &SshRule, compiler: &mut Compiler<'_>) -> CompiledSsh {
    let own = Selector::Autogroup(Autogroup::OwnDevices);
    let role = |selector: &Selector| match selector {
        Selector::Autogroup(Autogroup::Role(role)) => Some(*role),
        _ => None,
    };
    let destinations = rule.destinations.iter().filter(|host| host.value != own);
    CompiledSsh {
        site: rule.site.clone(),
        check: rule.check,
        roles: rule.sources.iter().filter_map(|source| role(&source.value)).collect(),
        sources: rule.sources.iter().map(|source| compiler.source(&source.value, &source.text)).collect(),
        destinations: destinations.map(|host| compiler.destination(&host.value, &host.text)).collect(),
        own_devices: rule.destinations.iter().any(|host| host.value == own),
        users: rule.users.clone(),
        accept_env: rule.accept_env.clone(),
        recorders: rule.recorders.clone(),
        enforce_recorder: rule.enforce_recorder,
        postures: compiler.postures(&rule.postures),
        unknown: rule.unknown.clone(),
    }
}
