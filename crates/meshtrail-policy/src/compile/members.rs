//! Sets of devices.

use std::net::IpAddr;

use crate::mesh::DeviceRef;

/// The families of a device's addresses that a set holds: a name from `hosts` may be one address of two.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Families(u32);

impl Families {
    pub(crate) const V4: Self = Self(1);
    pub(crate) const V6: Self = Self(2);
    pub(crate) const BOTH: Self = Self(3);

    /// The family of an address.
    pub(crate) fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// As two bits.
    pub(crate) fn bits(self) -> u32 {
        self.0
    }

    /// Of the two lowest bits.
    pub(crate) fn from_bits(bits: u32) -> Self {
        Self(bits & 3)
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether packets can go from one to the other: both have an address of one family.
    pub(crate) fn meet(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }
}

/// Devices in order, each with the families that are in the set; one number for both.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(crate) struct Members(Vec<u32>);

impl Members {
    /// The set of these devices; families of the same device are added up.
    pub(crate) fn new(devices: impl IntoIterator<Item = (DeviceRef, Families)>) -> Self {
        let mut packed: Vec<u32> =
            devices.into_iter().map(|(device, families)| (device.0 << 2) | families.0).collect();
        packed.sort_unstable();
        let mut joined: Vec<u32> = Vec::with_capacity(packed.len());
        for entry in packed {
            match joined.last_mut() {
                Some(last) if *last >> 2 == entry >> 2 => *last |= entry & 3,
                _ => joined.push(entry),
            }
        }
        joined.shrink_to_fit();
        Self(joined)
    }

    /// The families of the device that are in the set; `None` if the device is not.
    pub(crate) fn families(&self, device: DeviceRef) -> Option<Families> {
        let at = self.0.partition_point(|entry| entry >> 2 < device.0);
        self.0.get(at).filter(|entry| *entry >> 2 == device.0).map(|entry| Families(entry & 3))
    }

    pub(crate) fn contains(&self, device: DeviceRef) -> bool {
        self.families(device).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (DeviceRef, Families)> {
        self.0.iter().map(|entry| (DeviceRef(entry >> 2), Families(entry & 3)))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
