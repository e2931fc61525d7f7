//! The compiled policy itself.

use std::sync::{Arc, OnceLock};

use super::access::{CompiledAccess, Compiler, DestinationId, Sets, SourceId};
use super::postures::{self, Holds, Posture, PostureId};
use super::selectors::{DestinationSet, Resolver, SourceSet};
use super::ssh::{self, CompiledSsh};
use crate::control_plane::ControlPlane;
use crate::directory::Attributes;
use crate::error::PolicyError;
use crate::file::{PolicyFile, RuleSite};
use crate::mesh::{DeviceRef, Mesh};

/// A policy, compiled for the people and devices of one moment.
///
/// ```
/// use meshtrail_policy::{ControlPlane, Device, Directory, LocalUser, LoginQuestion, Mesh, Person, Policy};
///
/// let directory = Directory {
///     people: vec![Person { login: "ana@example.com".to_owned(), ..Person::default() }],
///     devices: vec![
///         Device { name: "laptop".to_owned(), owner: Some("ana@example.com".to_owned()), ..Device::default() },
///         Device { name: "web".to_owned(), tags: ["tag:web".to_owned()].into(), ..Device::default() },
///     ],
///     ..Directory::default()
/// };
/// let text = r#"{
///     "tagOwners": {"tag:web": []},
///     "ssh": [{"action": "accept", "src": ["autogroup:member"], "dst": ["tag:web"], "users": ["deploy"]}],
/// }"#;
/// let mesh = Mesh::new(directory);
/// let policy = Policy::compile(text, ControlPlane::Tailscale, &mesh)?;
///
/// let (from, to) = (mesh.find("laptop")[0], mesh.find("web")[0]);
/// let answer = policy.login(&LoginQuestion::new(from, to, LocalUser::unknown("deploy")));
/// assert_eq!(answer.to_string(), "accept, by ssh rule 1 (line 3)");
/// # Ok::<(), meshtrail_policy::PolicyError>(())
/// ```
#[derive(Debug)]
pub struct Policy {
    pub(crate) plane: ControlPlane,
    pub(crate) mesh: Mesh,
    text: Arc<str>,
    pub(crate) file: PolicyFile,
    pub(crate) access: Vec<CompiledAccess>,
    pub(crate) ssh: Vec<CompiledSsh>,
    sets: Sets,
    /// By their ids.
    postures: Vec<Posture>,
}

/// How large a policy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PolicySize {
    /// Rules of `acls` and `grants`.
    pub access_rules: usize,
    /// Rules of `ssh`.
    pub ssh_rules: usize,
    /// Different selectors that the rules name.
    pub selectors: usize,
}

impl Policy {
    /// Compiles a policy. It is read as the control plane would read it: what that refuses is an error here.
    ///
    /// `tests` and `sshTests` are not run: see [`Policy::run_tests`].
    pub fn compile(text: &str, plane: ControlPlane, mesh: &Mesh) -> Result<Self, PolicyError> {
        let mut file = PolicyFile::read(text, plane, &mesh.index().domains)?;
        let access = file.access.take();
        let ssh = std::mem::take(&mut file.ssh);
        let mut compiler = Compiler::new(Resolver { file: &file, mesh: mesh.index(), plane });
        let access = match &access {
            Some(rules) => rules.iter().map(|rule| compiler.rule(rule)).collect(),
            None => vec![compiler.open_to_all()],
        };
        let ssh = ssh.iter().map(|rule| ssh::compile(rule, &mut compiler)).collect();
        let sets = compiler.into_sets();
        let posture = |(name, assertions)| Posture { name, assertions, states: OnceLock::new() };
        let postures = std::mem::take(&mut file.postures).into_iter().map(posture).collect();
        Ok(Self { plane, mesh: mesh.clone(), text: text.into(), file, access, ssh, sets, postures })
    }

    /// Whose rules it was read by.
    pub fn control_plane(&self) -> ControlPlane {
        self.plane
    }

    /// The people and devices that it was compiled for.
    pub fn mesh(&self) -> &Mesh {
        &self.mesh
    }

    /// The text of a rule, as it stands in the policy.
    pub fn rule_text(&self, site: &RuleSite) -> &str {
        self.text.get(site.span.clone()).unwrap_or_default()
    }

    /// How large it is.
    pub fn size(&self) -> PolicySize {
        PolicySize {
            access_rules: self.access.len(),
            ssh_rules: self.ssh.len(),
            selectors: self.sets.sources.len() + self.sets.destinations.len(),
        }
    }

    pub(crate) fn resolver(&self) -> Resolver<'_> {
        Resolver { file: &self.file, mesh: self.mesh.index(), plane: self.plane }
    }

    pub(crate) fn source(&self, id: SourceId) -> &SourceSet {
        &self.sets.sources[id.0 as usize]
    }

    pub(crate) fn destination(&self, id: DestinationId) -> &DestinationSet {
        &self.sets.destinations[id.0 as usize]
    }

    pub(crate) fn sources(&self) -> &[SourceSet] {
        &self.sets.sources
    }

    pub(crate) fn destinations(&self) -> &[DestinationSet] {
        &self.sets.destinations
    }

    /// A selector of a source as it is written.
    pub(crate) fn source_text(&self, id: SourceId) -> &str {
        &self.sets.source_texts[id.0 as usize]
    }

    /// A selector of a destination as it is written.
    pub(crate) fn destination_text(&self, id: DestinationId) -> &str {
        &self.sets.destination_texts[id.0 as usize]
    }

    /// Postures by their ids.
    fn postures(&self, ids: &[PostureId]) -> impl Iterator<Item = &Posture> {
        ids.iter().map(|id| &self.postures[id.0 as usize])
    }

    /// The names of postures, as written.
    pub(crate) fn posture_names(&self, ids: &[PostureId]) -> Vec<&str> {
        self.postures(ids).map(|posture| posture.name.as_str()).collect()
    }

    /// Whether a device has one of the postures, with the reason if not.
    pub(crate) fn posture(&self, ids: &[PostureId], device: DeviceRef) -> Holds {
        postures::check(self.postures(ids), &self.mesh.device(device).attributes)
    }

    /// Whether something with these attributes has one of the postures.
    pub(crate) fn has_posture(&self, ids: &[PostureId], attributes: &Attributes) -> bool {
        postures::check(self.postures(ids), attributes) == Holds::Yes
    }

    /// Whether a device has one of the postures, without the reason; `None` where nobody can tell.
    pub(crate) fn posture_state(&self, ids: &[PostureId], device: DeviceRef) -> Option<bool> {
        let mut state = Some(ids.is_empty());
        for posture in self.postures(ids) {
            let states = posture.states.get_or_init(|| self.evaluate(posture));
            match states[device.0 as usize] {
                Some(true) => return Some(true),
                Some(false) => {}
                None => state = None,
            }
        }
        state
    }

    fn evaluate(&self, posture: &Posture) -> Box<[Option<bool>]> {
        let attributes = |device| &self.mesh.device(device).attributes;
        let states = self.mesh.devices().map(|device| {
            match postures::check(std::iter::once(posture), attributes(device)) {
                Holds::Yes => Some(true),
                Holds::No(_) => Some(false),
                Holds::Unknown(_) => None,
            }
        });
        states.collect()
    }
}
