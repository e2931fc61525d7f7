//! Rules of `acls` and `grants`, compiled.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::Value;

use super::postures::PostureId;
use super::selectors::{DestinationSet, Resolver, SourceSet};
use crate::file::{AccessRule, RuleSite, Section, Selector};
use crate::ports::PortSet;

/// A source set of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct SourceId(pub(crate) u32);

/// A destination set of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct DestinationId(pub(crate) u32);

/// A compiled rule.
#[derive(Debug)]
pub(crate) struct CompiledAccess {
    pub(crate) site: RuleSite,
    pub(crate) sources: Vec<SourceId>,
    pub(crate) destinations: Vec<(DestinationId, Arc<PortSet>)>,
    pub(crate) app: BTreeMap<String, Vec<Value>>,
    pub(crate) via: Vec<String>,
    /// Postures of which one must hold, the default ones included.
    pub(crate) postures: Vec<PostureId>,
    pub(crate) unknown: Vec<String>,
}

/// The selectors of all rules, each resolved once.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    pub(crate) sources: Vec<SourceSet>,
    pub(crate) source_texts: Vec<String>,
    pub(crate) destinations: Vec<DestinationSet>,
    pub(crate) destination_texts: Vec<String>,
}

/// Compiles rules and collects their sets.
pub(crate) struct Compiler<'a> {
    resolver: Resolver<'a>,
    sets: Sets,
    source_ids: HashMap<Selector, SourceId>,
    destination_ids: HashMap<Selector, DestinationId>,
    ports: HashMap<PortSet, Arc<PortSet>>,
    posture_ids: HashMap<&'a str, PostureId>,
}

fn number(at: usize) -> u32 {
    u32::try_from(at).expect("a policy of 16 MB has fewer than four billion selectors")
}

impl<'a> Compiler<'a> {
    pub(crate) fn new(resolver: Resolver<'a>) -> Self {
        let names = resolver.file.postures.keys().map(String::as_str);
        let posture_ids = names.zip((0..).map(PostureId)).collect();
        Self {
            resolver,
            posture_ids,
            sets: Sets::default(),
            source_ids: HashMap::new(),
            destination_ids: HashMap::new(),
            ports: HashMap::new(),
        }
    }

    pub(crate) fn rule(&mut self, rule: &AccessRule) -> CompiledAccess {
        let default = &self.resolver.file.default_postures;
        let postures = self.postures(if rule.postures.is_empty() { default } else { &rule.postures });
        let sources = rule.sources.iter().map(|source| self.source(&source.value, &source.text)).collect();
        let destinations = rule.destinations.iter();
        let destinations = destinations
            .map(|(to, ports)| (self.destination(&to.value, &to.text), self.ports(ports)))
            .collect();
        CompiledAccess {
            site: rule.site.clone(),
            sources,
            destinations,
            app: rule.app.clone(),
            via: rule.via.clone(),
            postures,
            unknown: rule.unknown.clone(),
        }
    }

    /// What holds where a policy has neither acls nor grants: everybody may connect to everything (captured).
    pub(crate) fn open_to_all(&mut self) -> CompiledAccess {
        CompiledAccess {
            site: RuleSite { section: Section::Acls, number: 0, line: 1, span: 0..0 },
            sources: vec![self.source(&Selector::Any, "*")],
            destinations: vec![(self.destination(&Selector::Any, "*"), self.ports(&PortSet::all()))],
            app: BTreeMap::new(),
            via: Vec::new(),
            postures: Vec::new(),
            unknown: Vec::new(),
        }
    }

    pub(crate) fn into_sets(self) -> Sets {
        self.sets
    }

    pub(crate) fn source(&mut self, selector: &Selector, text: &str) -> SourceId {
        if let Some(id) = self.source_ids.get(selector) {
            return *id;
        }
        let id = SourceId(number(self.sets.sources.len()));
        self.sets.sources.push(self.resolver.source(selector));
        self.sets.source_texts.push(text.to_owned());
        self.source_ids.insert(selector.clone(), id);
        id
    }

    pub(crate) fn destination(&mut self, selector: &Selector, text: &str) -> DestinationId {
        if let Some(id) = self.destination_ids.get(selector) {
            return *id;
        }
        let id = DestinationId(number(self.sets.destinations.len()));
        self.sets.destinations.push(self.resolver.destination(selector));
        self.sets.destination_texts.push(text.to_owned());
        self.destination_ids.insert(selector.clone(), id);
        id
    }

    /// The postures with these names, each of which the policy defines.
    pub(crate) fn postures(&self, names: &[String]) -> Vec<PostureId> {
        names.iter().filter_map(|name| self.posture_ids.get(name.as_str()).copied()).collect()
    }

    fn ports(&mut self, ports: &PortSet) -> Arc<PortSet> {
        let shared = self.ports.entry(ports.clone()).or_insert_with(|| Arc::new(ports.clone()));
        Arc::clone(shared)
    }
}
