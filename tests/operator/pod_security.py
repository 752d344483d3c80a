"""The pod security standard "restricted" (Kubernetes, "Pod Security Standards"), as far as pods for Linux go."""

from __future__ import annotations

from typing import Any

VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}
SYSCTLS = {
    "kernel.shm_rmid_forced",
    "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start",
    "net.ipv4.tcp_syncookies",
    "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports",
    "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout",
    "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
}
SELINUX = {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
PROFILES = {"RuntimeDefault", "Localhost"}
HOST = ("hostNetwork", "hostPID", "hostIPC")


def violations(pod: dict[str, Any]) -> list[str]:
    """What a namespace that enforces the standard would refuse the pod for."""
    found = [key for key in HOST if pod.get(key)]
    of_all = pod.get("securityContext") or {}
    for volume in pod.get("volumes") or ():
        found += [f"volume {volume['name']}: {kind}" for kind in volume.keys() - {"name"} - VOLUMES]
    found += [sysctl["name"] for sysctl in of_all.get("sysctls") or () if sysctl["name"] not in SYSCTLS]
    found += _shared("pod", of_all)
    for container in [*(pod.get("initContainers") or ()), *pod["containers"]]:
        found += _of_container(container, of_all)
    return found


def _of_container(container: dict[str, Any], of_all: dict[str, Any]) -> list[str]:
    name, own = container["name"], container.get("securityContext") or {}
    capabilities = own.get("capabilities") or {}
    wrong = {
        "privileged": own.get("privileged", False),
        "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is not False,
        "capabilities.drop": "ALL" not in capabilities.get("drop", ()),
        "capabilities.add": bool(set(capabilities.get("add", ())) - {"NET_BIND_SERVICE"}),
        "runAsNonRoot": own.get("runAsNonRoot", of_all.get("runAsNonRoot")) is not True,
        "runAsUser": own.get("runAsUser", of_all.get("runAsUser")) == 0,
        "seccompProfile": (own.get("seccompProfile") or of_all.get("seccompProfile") or {}).get("type") not in PROFILES,
        "procMount": own.get("procMount", "Default") != "Default",
        "hostPort": any(port.get("hostPort") for port in container.get("ports") or ()),
        "probe host": any(
            (container.get(probe) or {}).get(way, {}).get("host")
            for probe in ("livenessProbe", "readinessProbe", "startupProbe")
            for way in ("httpGet", "tcpSocket")
        ),
    }
    return [f"{name}: {what}" for what, is_wrong in wrong.items() if is_wrong] + _shared(name, own)


def _shared(name: str, security: dict[str, Any]) -> list[str]:
    selinux = security.get("seLinuxOptions") or {}
    wrong = {
        "seLinuxOptions": selinux.get("type", "") not in SELINUX or "user" in selinux or "role" in selinux,
        "appArmorProfile": (security.get("appArmorProfile") or {}).get("type", "RuntimeDefault") not in PROFILES,
        "hostProcess": (security.get("windowsOptions") or {}).get("hostProcess", False),
    }
    return [f"{name}: {what}" for what, is_wrong in wrong.items() if is_wrong]
