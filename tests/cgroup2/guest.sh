#!/bin/sh
# PID 1 of the guest: puts the machine into the state of an ordinary server with cgroup version 2 only, runs
# what main.rs wants to know, and says it on the console in lines that begin with @@.

PATH=/bin
export PATH

# The kernel unpacks everything into a root that cannot be left by pivot_root(2), which a sandbox does.
if [ ! -e /moved ]; then
    mkdir /new && mount -t tmpfs -o size=1g none /new
    cp -a /bin /etc /lib /lib64 /packages /guest.sh /new/
    mkdir /new/proc /new/sys /new/dev /new/tmp && touch /new/moved
    exec switch_root /new /guest.sh
fi

mount -t proc none /proc
mount -t sysfs none /sys
mount -t devtmpfs none /dev
mount -t cgroup2 none /sys/fs/cgroup
chmod 1777 /tmp
# A kill for lack of memory fills the console otherwise.
dmesg -n 1
ip link set lo up
echo "@@ begin $(uname -r) $(cut -d' ' -f1 /proc/uptime)"

# A group that is delegated, as systemd does with Delegate=yes: given its controllers by the parent, and left to
# the user, with nothing in it but what is started there.
delegate() { # NAME USER
    mkdir "/sys/fs/cgroup/$1"
    echo '+memory +pids' > /sys/fs/cgroup/cgroup.subtree_control
    chown "$2" "/sys/fs/cgroup/$1"
    for file in cgroup.procs cgroup.subtree_control cgroup.threads; do chown "$2" "/sys/fs/cgroup/$1/$file"; done
}

# Runs a command as a user in a group; /tmp/pid says which process it is.
inside() { # NAME USER COMMAND…
    group=$1 user=$2
    shift 2
    sh -c "echo \$\$ > /tmp/pid; echo 0 > /sys/fs/cgroup/$group/cgroup.procs && exec su -s /bin/sh $user -c 'exec $*'"
}

say() { # KIND NAME COMMAND… : what it printed and its exit code, on one line
    kind=$1 name=$2
    shift 2
    "$@" > /tmp/said 2> /tmp/failed < /dev/null
    code=$?
    [ -s /tmp/said ] || tail -n 1 /tmp/failed > /tmp/said
    echo "@@ $kind $name $code $(tr -d '\n' < /tmp/said)"
}

suite() { # SETTING USER
    delegate "$1" "$2"
    mkdir "/tmp/$1" && chown "$2" "/tmp/$1"
    say doctor "$1" inside "$1" "$2" bulkhead doctor --json
    inside "$1" "$2" bulkhead up --slots 2 --data "/tmp/$1/data" > "/tmp/$1/log" 2>&1 &
    for package in /packages/*.bhpkg; do
        # The server may still be on its way.
        tries=0
        until bulkhead register "$package" > /tmp/said 2>&1; do
            tries=$((tries + 1))
            if [ "$tries" -gt 60 ]; then
                echo "@@ failed $1 $(tr -d '\n' < /tmp/said) $(tr '\n' ' ' < "/tmp/$1/log")"
                return
            fi
            sleep 1
        done
    done
    for function in $(cat /packages/functions); do
        say row "$1/$function" bulkhead invoke "$function" --data '{}' --json
        say canary "$1/$function" bulkhead invoke hello --data '["Ada"]' --json
    done
    # The server's own groups are below the delegated one; where it stands tells how it came by its controllers.
    server=$(cat /tmp/pid)
    echo "@@ stands $1 $(cat "/proc/$server/cgroup")"
    kill -TERM "$server" && wait
    echo "@@ time $1 $(cut -d' ' -f1 /proc/uptime)"
    echo "@@ left $1 $(cd "/sys/fs/cgroup/$1" && find . -mindepth 1 -type d | tr '\n' ' ')"
    echo "@@ processes $1 $(ps | grep -c '[b]ulkhead-runner')"
}

say doctor everybody bulkhead doctor --json
suite root root
suite user user
echo "@@ end $(cut -d' ' -f1 /proc/uptime)"
poweroff -f
