//! What changes in the mesh on ordinary days: who joins and leaves, names, tags, owners, keys, routes, DNS.

use meshtrail_event::{Actor, Change, Kind, Outcome, Target, Timestamp};
use meshtrail_identity::UserState;

use super::plan::Plan;
use super::policy::ORDINARY;
use super::world::{World, change, json};
use crate::calendar::{HOUR, MINUTE};
use crate::company::{Machine, Member, addresses, device};
use crate::names::DOMAIN;

const CONSOLE: &str = "ADMIN_CONSOLE";

/// The how-manyth address is one that three devices have in turn.
const REUSED: usize = 240;

/// People, by their places, who do most of this.
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
            let (by, new) = (world.alone(OTHER_ADMIN), edit.apply(&world.policy));
            world.change_policy(by.clone(), (CONSOLE, edit.says), new);
            let mut draft = world.draft(Kind::PolicyTested);
            draft.target = named("policy", "policy");
            world.audit(by, draft, change("TEST", CONSOLE, "the policy's 14 tests passed"));
        });
    }
}

/// A device changes by name: how many days ago, which, what, and how that is said.
fn device_change(
    plan: &mut Plan,
    days: i64,
    (kind, name): (Kind, &'static str),
    (property, says): (&'static str, &'static str),
    edit: impl FnOnce(&mut meshtrail_identity::DeviceState) + 'static,
) {
    plan.add(plan.days.at(days, 10, 5), move |world| {
        let (by, machine) = (world.alone(ADMIN), world.company.machine(name));
        let told = Change { property: Some(property.to_owned()), ..change("UPDATE", CONSOLE, says) };
        world.change_machine(by, (kind, machine), told, edit);
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
        let (by, machine) = (world.alone(ADMIN), world.company.laptop_of(16).unwrap_or(0));
        let heir = world.company.people[17].state.login.clone();
        let says = format!("{} belongs to {heir} now", world.device(machine).label().unwrap_or_default());
        let told = Change { property: Some("OWNER".to_owned()), ..change("UPDATE", CONSOLE, &says) };
        world.change_machine(by, (Kind::DeviceTransferred, machine), told, |state| state.owner = Some(heir));
    });
    plan.add(plan.days.at(8, 2, 0), |world| {
        let machine = world.company.machine("ci-runner-8");
        let told = change("UPDATE", "", "ci-runner-8 was not seen for 30 days");
        world.change_machine(service(), (Kind::DeviceUnseen, machine), told, |state| {
            state.online = Some(false)
        });
    });
    plan.add(plan.days.at(16, 15, 10), |world| {
        let before = serde_json::json!({"magicDNS": true, "nameservers": ["192.0.2.53"], "searchPaths": ["example.com"]});
        let after = serde_json::json!({"magicDNS": true, "nameservers": ["192.0.2.53", "198.51.100.53"], "searchPaths": ["example.com"]});
        let (by, mut draft) = (world.alone(ADMIN), world.draft(Kind::DnsChanged));
        draft.target = named("dns", "dns");
        let told = Change {
            old: Some(json(&before)),
            new: Some(json(&after)),
            property: Some("NAMESERVERS".to_owned()),
            ..change("UPDATE", CONSOLE, "198.51.100.53 answers names too")
        };
        world.audit(by, draft, told);
    });
}

fn keys(plan: &mut Plan) {
    let disabled = (Kind::KeyExpiryChanged, "metrics-2");
    device_change(plan, 20, disabled, ("KEY_EXPIRY", "metrics-2's key expires again"), |state| {
        state.key_expiry_disabled = Some(false);
    });
    plan.add(plan.days.at(10, 7, 30), |world| {
        let machine = world.company.laptop_of(13).unwrap_or(0);
        let told = Change {
            property: Some("KEY_EXPIRY_TIME".to_owned()),
            ..change("UPDATE", "", "its key expired")
        };
        world
            .change_machine(service(), (Kind::KeyExpired, machine), told, |state| state.expired = Some(true));
    });
    plan.add(plan.days.at(10, 8, 55), |world| {
        let (by, machine) = (world.alone(13), world.company.laptop_of(13).unwrap_or(0));
        let told = change("UPDATE", "NODE", "Finn signed in again, which renewed its key");
        let now = Timestamp::from_nanos(world.now);
        world.change_machine(by, (Kind::KeyRenewed, machine), told, |state| {
            state.expired = Some(false);
            state.expires = Some(now.after(std::time::Duration::from_secs(180 * 86_400)));
        });
    });
    for (days, kind, action, says) in [
        (24, Kind::KeyCreated, "CREATE", "an auth key for tag:ci, reusable, for 90 days"),
        (3, Kind::KeyRevoked, "REVOKE", "the auth key for tag:ci, handed over to another one"),
    ] {
        plan.add(plan.days.at(days, 11, 15), move |world| {
            let (by, mut draft) = (world.alone(OTHER_ADMIN), world.draft(kind));
            draft.target = Target { id: Some("kCiAuth7CNTRL".to_owned()), ..named("key", "ci runners") };
            world.audit(by, draft, change(action, CONSOLE, says));
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
        let (by, machine) = (world.alone(ADMIN), world.company.machine("office-router"));
        let told = change("UPDATE", CONSOLE, "203.0.113.0/26 is routed through office-router");
        world.change_machine(by, (Kind::RouteEnabled, machine), told, |state| {
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
    for (days, person, role, says) in
        [(18, 6, "network-admin", "Samir is network admin"), (9, 3, "member", "Jonas is no admin any more")]
    {
        plan.add(plan.days.at(days, 12, 0), move |world| {
            let by = world.alone(0);
            let told = Change { property: Some("USER_ROLE".to_owned()), ..change("UPDATE", CONSOLE, says) };
            world.change_person(by, (Kind::UserRoleChanged, person), told, |state| {
                state.role = Some(role.to_owned())
            });
        });
    }
    plan.add(plan.days.at(7, 16, 30), |world| {
        let by = world.alone(ADMIN);
        let told = change("UPDATE", CONSOLE, "Bruno left the company");
        world.change_person(by.clone(), (Kind::UserSuspended, 39), told, |state| {
            state.status = Some("suspended".to_owned())
        });
        while let Some(machine) = world.company.laptop_of(39) {
            let told = change("DELETE", CONSOLE, "a device of somebody who left");
            world.change_machine(by.clone(), (Kind::DeviceRemoved, machine), told, |_| {});
        }
    });
}

/// An address that a build machine, a tablet and a new colleague's laptop have in turn.
fn reused_address(plan: &mut Plan) {
    let stays = [(28, 21, "ci-spare-1", "linux", None), (19, 11, "front-desk-tablet", "iOS", Some(5))];
    for (from, until, name, os, owner) in stays {
        plan.add(plan.days.at(from, 9, 15), move |world| {
            let owner = owner.map(|person: usize| world.company.people[person].state.login.clone());
            let machine = joins(world, (name, os), owner);
            let by = world.actor(machine);
            let told = change("CREATE", "NODE", &format!("{name} joined"));
            world.change_machine(by, (Kind::DeviceAdded, machine), told, |_| {});
        });
        plan.add(plan.days.at(until, 17, 45), move |world| {
            let (by, machine) = (world.alone(ADMIN), world.company.machine(name));
            let told = change("DELETE", CONSOLE, &format!("{name} is no longer needed"));
            world.change_machine(by, (Kind::DeviceRemoved, machine), told, |_| {});
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
        let admin = world.alone(ADMIN);
        let mut invited = world.draft(Kind::UserInvited);
        invited.target = named("user", &login);
        world.audit(admin.clone(), invited, change("CREATE", CONSOLE, "Ellis was invited"));
        let told = change("CREATE", CONSOLE, "Ellis joined the company");
        world.change_person(admin, (Kind::UserAdded, person), told, |_| {});
    });
    plan.add(first + 40 * MINUTE, |world| {
        let login = format!("ellis@{DOMAIN}");
        let machine = joins(world, ("ellis-mbp", "macOS"), Some(login));
        let by = world.actor(machine);
        let told = change("CREATE", "NODE", "ellis-mbp joined, and waits for approval");
        world.change_machine(by, (Kind::DeviceAdded, machine), told, |state| state.authorized = Some(false));
    });
    plan.add(first + HOUR, |world| {
        let (by, machine) = (world.alone(ADMIN), world.company.machine("ellis-mbp"));
        let told = change("UPDATE", CONSOLE, "ellis-mbp was approved");
        world
            .change_machine(by, (Kind::DeviceApproved, machine), told, |state| state.authorized = Some(true));
    });
}

/// A new machine with the address that is used again and again.
fn joins(world: &mut World, (name, os): (&str, &str), owner: Option<String>) -> usize {
    let now = Timestamp::from_nanos(world.now);
    let mut state = device(&mut world.random, REUSED, name, os, now);
    if owner.is_none() {
        state.tags.insert("tag:ci".to_owned());
    }
    state.owner = owner;
    world.company.machines.push(Machine { state, userspace: false, present: true });
    world.company.machines.len() - 1
}

/// People sign in to the admin console; now and then somebody mistypes.
fn sign_ins(plan: &mut Plan) {
    let mut random = plan.random("sign-ins");
    for _ in 0..70 {
        let person = random.place(8);
        let at = plan.days.workday_moment(&mut random, crate::names::ZONES[person % 6]);
        let fails = random.once_in(12);
        plan.add(at, move |world| {
            let (by, mut draft) = (world.alone(person), world.draft(Kind::UserLogin));
            draft.target = named("user", &world.company.people[person].state.login.clone());
            if fails {
                draft.outcome = Outcome::Failure;
            }
            let says = if fails { "the second factor was wrong" } else { "signed in to the admin console" };
            world.audit(by, draft, change("LOGIN", CONSOLE, says));
        });
    }
}

pub(super) fn named(of_type: &str, name: &str) -> Target {
    Target { name: Some(name.to_owned()), of_type: Some(of_type.to_owned()), ..Target::default() }
}

/// The control plane by itself.
pub(super) fn service() -> Actor {
    Actor { service: Some("tailscale".to_owned()), ..Actor::default() }
}
