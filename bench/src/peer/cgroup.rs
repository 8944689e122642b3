//! One memory cgroup of our own, of either version, and gone afterwards.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};

use crate::peer::zram::{patiently, write_to};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Version {
    V1,
    V2,
}

/// Where this host keeps its memory cgroups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Hierarchy {
    version: Version,
    root: PathBuf,
}

impl Hierarchy {
    /// # Errors
    ///
    /// When there is no memory controller, or it cannot be written.
    pub(super) fn find() -> Result<Hierarchy> {
        let mounts = fs::read_to_string("/proc/self/mountinfo");
        let mounts = mounts.context("cannot read /proc/self/mountinfo")?;
        let controllers =
            |root: &Path| fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        find(&mounts, controllers).context(
            "cannot compare with zram: no cgroup file system with the memory controller is \
             mounted; mount one (`mount -t cgroup2 none /sys/fs/cgroup`), boot without \
             cgroup_disable=memory, or run outside of this container",
        )
    }
}

/// The memory controller belongs to one hierarchy only; version 1 says so in its mount options.
fn find(mounts: &str, controllers: impl Fn(&Path) -> String) -> Option<Hierarchy> {
    mounts.lines().find_map(|line| {
        let (place, kind) = line.split_once(" - ")?;
        let root = PathBuf::from(place.split_whitespace().nth(4)?);
        let mut kind = kind.split_whitespace();
        let version = match (kind.next()?, kind.nth(1)?) {
            ("cgroup", options) if options.split(',').any(|option| option == "memory") => {
                Version::V1
            }
            ("cgroup2", _) if controllers(&root).split_whitespace().any(|it| it == "memory") => {
                Version::V2
            }
            (_, _) => return None,
        };
        Some(Hierarchy { version, root })
    })
}

/// A group with a limit. It stays until [`Cgroup::remove`].
#[derive(Debug)]
pub(super) struct Cgroup {
    hierarchy: Hierarchy,
    path: PathBuf,
    /// Version 2: we let children of the root have the memory controller.
    controller_is_ours: bool,
}

impl Cgroup {
    /// Makes a group whose processes together hold at most `limit_bytes` of memory, and as much
    /// swap as they like.
    ///
    /// # Errors
    ///
    /// When the host refuses.
    pub(super) fn make(name: &str, limit_bytes: u64) -> Result<Cgroup> {
        let hierarchy = Hierarchy::find()?;
        let path = hierarchy.root.join(name);
        let controller_is_ours = match hierarchy.version {
            Version::V1 => false,
            Version::V2 => lend_controller(&hierarchy.root)?,
        };
        let cannot = || format!("cannot make the memory cgroup {}", path.display());
        fs::create_dir(&path).with_context(cannot)?;
        let group = Cgroup { hierarchy, path, controller_is_ours };
        if let Err(error) = group.limit(limit_bytes) {
            group.remove().context("after the limit of a memory cgroup was refused")?;
            return Err(error);
        }
        Ok(group)
    }

    fn limit(&self, bytes: u64) -> Result<()> {
        let name = match self.hierarchy.version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        write_to(self.path.join(name), &bytes.to_string())
    }

    pub(super) fn version(&self) -> Version {
        self.hierarchy.version
    }

    /// Moves a process in. What it holds already stays on the account of where it was.
    pub(super) fn admit(&self, process: u32) -> Result<()> {
        write_to(self.path.join("cgroup.procs"), &process.to_string())
    }

    /// The most memory that the group held at one time; `None` if this kernel does not keep it.
    pub(super) fn peak_bytes(&self) -> Option<u64> {
        let name = match self.hierarchy.version {
            Version::V1 => "memory.max_usage_in_bytes",
            Version::V2 => "memory.peak",
        };
        fs::read_to_string(self.path.join(name)).ok()?.trim().parse().ok()
    }

    /// Ends the processes inside, all of which were admitted, and removes the group.
    ///
    /// # Errors
    ///
    /// When the kernel refuses; the message says what stays behind.
    pub(super) fn remove(self) -> Result<()> {
        let emptied = self.empty();
        let removed = patiently(|| Ok(fs::remove_dir(&self.path)?));
        if self.controller_is_ours {
            drop(write_to(self.hierarchy.root.join("cgroup.subtree_control"), "-memory"));
        }
        emptied.and(removed).with_context(|| format!("{} stays behind", self.path.display()))
    }

    /// Ends the processes inside and waits until they are gone, and their memory with them.
    pub(super) fn empty(&self) -> Result<()> {
        patiently(|| {
            let text = fs::read_to_string(self.path.join("cgroup.procs"))?;
            for process in text.lines().filter_map(|line| line.parse().ok()) {
                let Some(process) = Pid::from_raw(process) else { continue };
                // Whoever is gone meanwhile needs no signal.
                let _ = kill_process(process, Signal::KILL);
            }
            ensure!(text.trim().is_empty(), "processes {} do not end", text.trim());
            Ok(())
        })
    }
}

/// Lets groups below the root have the memory controller; whether they had not yet.
fn lend_controller(root: &Path) -> Result<bool> {
    let path = root.join("cgroup.subtree_control");
    let lent = fs::read_to_string(&path).unwrap_or_default();
    if lent.split_whitespace().any(|controller| controller == "memory") {
        return Ok(false);
    }
    match write_to(path, "+memory") {
        Ok(()) => Ok(true),
        Err(error) => bail!(
            "cannot compare with zram: the memory controller is not to be had below {}: {error:#}; \
             run outside of this container",
            root.display()
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
        24 23 0:20 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n\
        25 24 0:21 / /sys/fs/cgroup/cpu rw,relatime shared:7 - cgroup cgroup rw,cpu\n\
        26 24 0:22 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n\
        27 24 0:23 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    const V2: &str = "30 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

    fn has_memory(_: &Path) -> String {
        "cpuset cpu io memory pids\n".to_owned()
    }

    fn has_nothing(_: &Path) -> String {
        "cpuset cpu\n".to_owned()
    }

    #[test]
    fn version_one_is_found_by_its_mount_options() {
        let found = find(V1, has_nothing).expect("it is there");
        assert_eq!(found.version, Version::V1);
        assert_eq!(found.root, Path::new("/sys/fs/cgroup/memory"));
    }

    #[test]
    fn version_two_is_found_by_its_controllers() {
        let found = find(V2, has_memory).expect("it is there");
        assert_eq!((found.version, found.root), (Version::V2, "/sys/fs/cgroup".into()));
    }

    #[test]
    fn a_host_without_the_controller_cannot_limit_memory() {
        assert_eq!(find(V2, has_nothing), None);
        assert_eq!(find("", has_memory), None);
        assert_eq!(find("nonsense\n - \n", has_memory), None);
    }
}
