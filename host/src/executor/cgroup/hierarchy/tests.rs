//! Over what real machines say of themselves.

use super::*;

/// A VM with a hierarchy for each controller, and version 2 without any.
const HYBRID: (&str, &str) = (
    "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime - cgroup cgroup rw,cpuset
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw",
    "\
10:name=systemd:/
9:pids:/
5:memory:/jobs/7
0::/",
);

/// Debian 9 with systemd: version 1 only, controllers mounted together.
const V1: (&str, &str) = (
    "\
25 18 0:21 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755
26 25 0:22 / /sys/fs/cgroup/systemd rw,nosuid,nodev,noexec,relatime shared:9 - cgroup cgroup rw,xattr,release_agent=/lib/systemd/systemd-cgroups-agent,name=systemd
29 25 0:26 / /sys/fs/cgroup/cpu,cpuacct rw,nosuid,nodev,noexec,relatime shared:14 - cgroup cgroup rw,cpu,cpuacct
31 25 0:28 / /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime shared:16 - cgroup cgroup rw,pids
33 25 0:30 / /sys/fs/cgroup/memory rw,nosuid,nodev,noexec,relatime shared:18 - cgroup cgroup rw,memory",
    "\
8:memory:/user.slice
6:pids:/user.slice/user-1000.slice/session-3.scope
4:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/user-1000.slice/session-3.scope",
);

/// Debian 12 with systemd: version 2 only.
const V2: (&str, &str) = (
    "\
22 28 0:21 / /sys rw,nosuid,nodev,noexec,relatime shared:7 - sysfs sysfs rw
26 22 0:25 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot",
    "0::/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope",
);

/// Docker with cgroup version 1 and no cgroup namespace: each mount shows the container's group.
const DOCKER_V1: (&str, &str) = (
    "\
1129 1128 0:26 /docker/3f2a /sys/fs/cgroup/cpu,cpuacct ro,nosuid,nodev,noexec,relatime master:11 - cgroup cgroup rw,cpu,cpuacct
1133 1128 0:30 /docker/3f2a /sys/fs/cgroup/memory ro,nosuid,nodev,noexec,relatime master:15 - cgroup cgroup rw,memory
1137 1128 0:34 /docker/3f2a /sys/fs/cgroup/pids rw,nosuid,nodev,noexec,relatime master:19 - cgroup cgroup rw,pids",
    "\
11:memory:/docker/3f2a
5:pids:/docker/3f2a/inner
3:cpu,cpuacct:/docker/3f2a",
);

/// Docker with version 2: a cgroup namespace, read-only.
const DOCKER_V2: (&str, &str) =
    ("677 676 0:27 / /sys/fs/cgroup ro,nosuid,nodev,noexec,relatime - cgroup2 cgroup rw,nsdelegate", "0::/");

/// A chroot without any of it.
const NONE: (&str, &str) = (
    "\
23 1 254:0 / / rw,relatime - ext4 /dev/vda rw
24 23 0:22 / /proc rw,relatime - proc proc rw",
    "0::/",
);

fn find(controller: &str, (mountinfo, membership): (&str, &str)) -> Result<(Version, PathBuf), Missing> {
    locate(controller, membership, mountinfo).map(|place| (place.version, place.own))
}

#[test]
fn on_a_hybrid_machine_controllers_are_of_version_1_and_the_other_hierarchy_is_there() {
    assert_eq!(find("memory", HYBRID), Ok((Version::V1, "/sys/fs/cgroup/memory/jobs/7".into())));
    assert_eq!(find("pids", HYBRID), Ok((Version::V1, "/sys/fs/cgroup/pids".into())));
    // Not among version 1's lines, so version 2 may have it.
    assert_eq!(find("io", HYBRID), Ok((Version::V2, "/sys/fs/cgroup/unified".into())));
    let place = locate_v2(HYBRID.1, HYBRID.0).unwrap();
    assert_eq!(place, Place { version: Version::V2, own: "/sys/fs/cgroup/unified".into() });
}

#[test]
fn version_1_alone() {
    assert_eq!(find("memory", V1), Ok((Version::V1, "/sys/fs/cgroup/memory/user.slice".into())));
    let session = "/sys/fs/cgroup/pids/user.slice/user-1000.slice/session-3.scope";
    assert_eq!(find("pids", V1), Ok((Version::V1, session.into())));
    assert_eq!(find("cpuacct", V1), Ok((Version::V1, "/sys/fs/cgroup/cpu,cpuacct/user.slice".into())));
    assert_eq!(locate_v2(V1.1, V1.0), Err(Missing::NotMounted));
    assert_eq!(find("io", V1), Err(Missing::NotMounted));
}

#[test]
fn version_2_alone() {
    let own = "/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/app.slice/run-u7.scope";
    for controller in ["memory", "pids"] {
        assert_eq!(find(controller, V2), Ok((Version::V2, own.into())));
    }
}

#[test]
fn a_mount_of_a_part_shows_the_groups_below_it() {
    assert_eq!(find("pids", DOCKER_V1), Ok((Version::V1, "/sys/fs/cgroup/pids/inner".into())));
    let mount = "/sys/fs/cgroup/memory".into();
    assert_eq!(find("memory", DOCKER_V1), Err(Missing::ReadOnly { mount }));
    let elsewhere = DOCKER_V1.1.replace("/docker/3f2a/inner", "/docker/3f2ab");
    let missing = find("pids", (DOCKER_V1.0, &elsewhere)).unwrap_err();
    assert!(matches!(&missing, Missing::OutOfSight { root, .. } if root == "/docker/3f2a"), "{missing}");
    let outside = find("pids", (HYBRID.0, "9:pids:/../..\n0::/")).unwrap_err();
    assert!(matches!(&outside, Missing::OutOfSight { group, .. } if group == "/../.."), "{outside}");
}

#[test]
fn a_mount_that_can_be_written_to_comes_before_one_that_cannot() {
    assert_eq!(find("memory", DOCKER_V2), Err(Missing::ReadOnly { mount: "/sys/fs/cgroup".into() }));
    let twice = format!("{}\n678 676 0:27 / /cg rw - cgroup2 cgroup2 rw", DOCKER_V2.0);
    assert_eq!(find("memory", (&twice, DOCKER_V2.1)), Ok((Version::V2, "/cg".into())));
}

#[test]
fn no_cgroups_at_all() {
    for controller in ["memory", "pids"] {
        assert_eq!(find(controller, NONE), Err(Missing::NotMounted));
        assert_eq!(find(controller, ("", "")), Err(Missing::NotMounted));
    }
}

#[test]
fn what_cannot_be_read_is_left_out() {
    for line in ["", "1 2", "a b c d e f - cgroup", "36 35 0:29 / /x rw - ext4 /dev/vda rw", " - ", "- cgroup2 x rw"] {
        assert_eq!(read_mount(line), None, "{line:?}");
    }
    let spaced = r"36 35 0:29 / /a\040b\134 rw - cgroup2 none rw";
    assert_eq!(read_mount(spaced).unwrap().at, Path::new(r"/a b\"));
    for (escaped, plain) in [(r"\", r"\"), (r"\04", r"\04"), (r"\999", r"\999"), (r"é\011é", "é\té"), (r"\é", r"\é")]
    {
        assert_eq!(unescape(escaped), plain);
    }
}
