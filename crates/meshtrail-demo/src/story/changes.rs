//! Ordinary changes in the mesh: devices and people, names, tags, owners, keys, routes, DNS.

use meshtrail_event::{Actor, Change, DeviceState, Kind, Outcome, Target, Timestamp, UserState};

use super::plan::Plan;
use super::policy::ORDINARY;
use super::world::{World, change, json};
use crate::calendar::{HOUR, MINUTE};
use crate::company::{Machine, Member, addresses, device};
use crate::names::DOMAIN;

const CONSOLE: &str = "ADMIN_CONSOLE";

/// The number of the address that three devices have one after the other.
const REUSED: usize = 240;

/// Indexes of the people who make most changes.
const ADMIN: usize = 1;
const OTHER_ADMIN: usize = 2;

pub(super) fn plan(plan: &mut Plan) {
    policy(plan);
    devices(plan);
    keys(plan);
    routes(plan);
    people(plan);
    reused_address(plan);
    sign_ins(plan);
}

fn policy(plan: &mut Plan) {
    for (days, edit) in &ORDINARY {
        plan.add(plan.days.at(*days, 13, 20), |world| {
            let (by, new) = (world.person_only(OTHER_ADMIN), edit.apply(&world.policy));
            world.change_policy(by.clone(), (CONSOLE, edit.summary), new);
            let mut draft = world.draft(Kind::PolicyTested);
            draft.target = named("policy", "policy");
            world.audit(by, draft, change("TEST", CONSOLE, "the policy's 14 tests passed"));
        });
    }
}

/// Plans a change of the device `name`, `days` days before the end, with the property and the summary of its record.
fn device_change(
    plan: &mut Plan,
    days: i64,
    (kind, name): (Kind, &'static str),
    (property, summary): (&'static str, &'static str),
    edit: impl FnOnce(&mut DeviceState) + 'static,
) {
    plan.add(plan.days.at(days, 10, 5), move |world| {
        let (by, machine) = (world.person_only(ADMIN), world.company.machine(name));
        let record = Change { property: Some(property.to_owned()), ..change("UPDATE", CONSOLE, summary) };
        world.change_machine(by, (kind, machine), record, edit);
    });
}

fn devices(plan: &mut Plan) {
    let renamed = (Kind::DeviceRenamed, "staging-3");
    device_change(plan, 25, renamed, ("MACHINE_NAME", "staging-3 is called staging-search now"), |state| {
        state.name = state.name.take().map(|name| name.replace("staging-3", "staging-search"));
    });
    let tagged = (Kind::DeviceTagged, "search-3");
    device_change(plan, 22, tagged, ("ACL_TAGS", "search-3 left tag:prod for tag:staging"), |state| {
        state.tags = ["tag:search".to_owned(), "tag:staging".to_owned()].into();
    });
    let tagged = (Kind::DeviceTagged, "cache-3");
    device_change(plan, 12, tagged, ("ACL_TAGS", "cache-3 serves payments"), |state| {
        state.tags.insert("tag:payments".to_owned());
    });
    let addressed = (Kind::DeviceAddressed, "queue-2");
    device_change(plan, 15, addressed, ("MACHINE_IP", "queue-2 has another address"), |state| {
        state.addresses = addresses(235);
    });
    plan.add(plan.days.at(17, 9, 40), |world| {
        let (by, machine) = (world.person_only(ADMIN), world.company.laptop_of(16).unwrap_or(0));
        let heir = world.company.people[17].state.login.clone();
        let summary = format!("{} belongs to {heir} now", world.device(machine).label().unwrap_or_default());
        let record = Change { property: Some("OWNER".to_owned()), ..change("UPDATE", CONSOLE, &summary) };
        world
            .change_machine(by, (Kind::DeviceTransferred, machine), record, |state| state.owner = Some(heir));
    });
    plan.add(plan.days.at(8, 2, 0), |world| {
        let machine = world.company.machine("ci-runner-8");
        let record = change("UPDATE", "", "ci-runner-8 was not seen for 30 days");
        world.change_machine(service(), (Kind::DeviceUnseen, machine), record, |state| {
            state.online = Some(false)
        });
    });
    plan.add(plan.days.at(16, 15, 10), |world| {
        let before = serde_json::json!({"magicDNS": true, "nameservers": ["192.0.2.53"], "searchPaths": ["example.com"]});
        let after = serde_json::json!({"magicDNS": true, "nameservers": ["192.0.2.53", "198.51.100.53"], "searchPaths": ["example.com"]});
        let (by, mut draft) = (world.person_only(ADMIN), world.draft(Kind::DnsChanged));
        draft.target = named("dns", "dns");
        let record = Change {
            old: Some(json(&before)),
            new: Some(json(&after)),
            property: Some("NAMESERVERS".to_owned()),
            ..change("UPDATE", CONSOLE, "198.51.100.53 answers names too")
        };
        world.audit(by, draft, record);
    });
}

fn keys(plan: &mut Plan) {
    let disabled = (Kind::KeyExpiryChanged, "metrics-2");
    device_change(plan, 20, disabled, ("KEY_EXPIRY", "metrics-2's key expires again"), |state| {
        state.key_expiry_disabled = Some(false);
    });
    plan.add(plan.days.at(10, 7, 30), |world| {
        let machine = world.company.laptop_of(13).unwrap_or(0);
        let record = Change {
            property: Some("KEY_EXPIRY_TIME".to_owned()),
            ..change("UPDATE", "", "its key expired")
        };
        world.change_machine(service(), (Kind::KeyExpired, machine), record, |state| {
            state.expired = Some(true)
        });
    });
    plan.add(plan.days.at(10, 8, 55), |world| {
        let (by, machine) = (world.person_only(13), world.company.laptop_of(13).unwrap_or(0));
        let record = change("UPDATE", "NODE", "Finn signed in again, which renewed its key");
        let now = Timestamp::from_nanos(world.now);
        world.change_machine(by, (Kind::KeyRenewed, machine), record, |state| {
            state.expired = Some(false);
            state.expires = Some(now.after(std::time::Duration::from_secs(180 * 86_400)));
        });
    });
    for (days, kind, action, summary) in [
        (24, Kind::KeyCreated, "CREATE", "an auth key for tag:ci, reusable, for 90 days"),
        (3, Kind::KeyRevoked, "REVOKE", "the auth key for tag:ci, handed over to another one"),
    ] {
        plan.add(plan.days.at(days, 11, 15), move |world| {
            let (by, mut draft) = (world.person_only(OTHER_ADMIN), world.draft(kind));
            draft.target = Target { id: Some("kCiAuth7CNTRL".to_owned()), ..named("key", "ci runners") };
            world.audit(by, draft, change(action, CONSOLE, summary));
        });
    }
}

fn routes(plan: &mut Plan) {
    let route = "203.0.113.0/26";
    let advertised = (Kind::RouteAdvertised, "office-router");
    device_change(plan, 14, advertised, ("ROUTES", "office-router offers 203.0.113.0/26"), move |state| {
        state.advertised_routes.insert(route.to_owned());
    });
    plan.add(plan.days.at(14, 10, 25), move |world| {
        let (by, machine) = (world.person_only(ADMIN), world.company.machine("office-router"));
        let record = change("UPDATE", CONSOLE, "203.0.113.0/26 is routed through office-router");
        world.change_machine(by, (Kind::RouteEnabled, machine), record, |state| {
            state.enabled_routes.insert(route.to_owned());
        });
    });
    let exit = (Kind::RouteExitNodeChanged, "exit-fra-2");
    device_change(plan, 13, exit, ("ROUTES", "exit-fra-2 is an exit node"), |state| {
        let all: std::collections::BTreeSet<String> = ["0.0.0.0/0".to_owned(), "::/0".to_owned()].into();
        (state.advertised_routes, state.enabled_routes) = (all.clone(), all);
    });
}

fn people(plan: &mut Plan) {
    for (days, person, role, summary) in
        [(18, 6, "network-admin", "Samir is network admin"), (9, 3, "member", "Jonas is no admin any more")]
    {
        plan.add(plan.days.at(days, 12, 0), move |world| {
            let by = world.person_only(0);
            let record =
                Change { property: Some("USER_ROLE".to_owned()), ..change("UPDATE", CONSOLE, summary) };
            world.change_person(by, (Kind::UserRoleChanged, person), record, |state| {
                state.role = Some(role.to_owned())
            });
        });
    }
    plan.add(plan.days.at(7, 16, 30), |world| {
        let by = world.person_only(ADMIN);
        let record = change("UPDATE", CONSOLE, "Bruno left the company");
        world.change_person(by.clone(), (Kind::UserSuspended, 39), record, |state| {
            state.status = Some("suspended".to_owned())
        });
        while let Some(machine) = world.company.laptop_of(39) {
            let record = change("DELETE", CONSOLE, "a device of somebody who left");
            world.change_machine(by.clone(), (Kind::DeviceRemoved, machine), record, |_| {});
        }
    });
}

/// An address that a build machine, a tablet and a new colleague's laptop have one after the other.
fn reused_address(plan: &mut Plan) {
    let stays = [(28, 21, "ci-spare-1", "linux", None), (19, 11, "front-desk-tablet", "iOS", Some(5))];
    for (from, until, name, os, owner) in stays {
        plan.add(plan.days.at(from, 9, 15), move |world| {
            let owner = owner.map(|person: usize| world.company.people[person].state.login.clone());
            let machine = add_machine(world, (name, os), owner);
            let by = world.actor(machine);
            let record = change("CREATE", "NODE", &format!("{name} joined"));
            world.change_machine(by, (Kind::DeviceAdded, machine), record, |_| {});
        });
        plan.add(plan.days.at(until, 17, 45), move |world| {
            let (by, machine) = (world.person_only(ADMIN), world.company.machine(name));
            let record = change("DELETE", CONSOLE, &format!("{name} is no longer needed"));
            world.change_machine(by, (Kind::DeviceRemoved, machine), record, |_| {});
        });
    }
    newcomer(plan);
}

fn newcomer(plan: &mut Plan) {
    let first = plan.days.at(8, 8, 30);
    plan.add(first, |world| {
        let now = Timestamp::from_nanos(world.now);
        let login = format!("ellis@{DOMAIN}");
        world.company.people.push(Member {
            state: UserState {
                created: Some(now),
                groups: ["group:eng".to_owned()].into(),
                id: "u799999991CNTRL".to_owned(),
                login: login.clone(),
                name: Some("Ellis Moreau".to_owned()),
                role: Some("member".to_owned()),
                status: Some("active".to_owned()),
                of_type: Some("member".to_owned()),
                ..UserState::default()
            },
            zone: 60,
        });
        let person = world.company.people.len() - 1;
        let admin = world.person_only(ADMIN);
        let mut invited = world.draft(Kind::UserInvited);
        invited.target = named("user", &login);
        world.audit(admin.clone(), invited, change("CREATE", CONSOLE, "Ellis was invited"));
        let record = change("CREATE", CONSOLE, "Ellis joined the company");
        world.change_person(admin, (Kind::UserAdded, person), record, |_| {});
    });
    plan.add(first + 40 * MINUTE, |world| {
        let login = format!("ellis@{DOMAIN}");
        let machine = add_machine(world, ("ellis-mbp", "macOS"), Some(login));
        let by = world.actor(machine);
        let record = change("CREATE", "NODE", "ellis-mbp joined, and waits for approval");
        world
            .change_machine(by, (Kind::DeviceAdded, machine), record, |state| state.authorized = Some(false));
    });
    plan.add(first + HOUR, |world| {
        let (by, machine) = (world.person_only(ADMIN), world.company.machine("ellis-mbp"));
        let record = change("UPDATE", CONSOLE, "ellis-mbp was approved");
        world.change_machine(by, (Kind::DeviceApproved, machine), record, |state| {
            state.authorized = Some(true)
        });
    });
}

/// Adds a machine with the reused address.
fn add_machine(world: &mut World, (name, os): (&str, &str), owner: Option<String>) -> usize {
    let now = Timestamp::from_nanos(world.now);
    let mut state = device(&mut world.random, REUSED, name, os, now);
    if owner.is_none() {
        state.tags.insert("tag:ci".to_owned());
    }
    state.owner = owner;
    world.company.machines.push(Machine { state, userspace: false, present: true });
    world.company.machines.len() - 1
}

/// Sign-ins to the admin console; some fail.
fn sign_ins(plan: &mut Plan) {
    let mut random = plan.random("sign-ins");
    for _ in 0..70 {
        let person = random.index(8);
        let at = plan.days.workday_moment(&mut random, crate::names::ZONES[person % 6]);
        let fails = random.once_in(12);
        plan.add(at, move |world| {
            let (by, mut draft) = (world.person_only(person), world.draft(Kind::UserLogin));
            draft.target = named("user", &world.company.people[person].state.login.clone());
            if fails {
                draft.outcome = Outcome::Failure;
            }
            let summary =
                if fails { "the second factor was wrong" } else { "signed in to the admin console" };
            world.audit(by, draft, change("LOGIN", CONSOLE, summary));
        });
    }
}

pub(super) fn named(of_type: &str, name: &str) -> Target {
    Target { name: Some(name.to_owned()), of_type: Some(of_type.to_owned()), ..Target::default() }
}

/// The control plane as an actor.
pub(super) fn service() -> Actor {
    Actor { service: Some("tailscale".to_owned()), ..Actor::default() }
}
