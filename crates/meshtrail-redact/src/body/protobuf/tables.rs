//! The fields of messages that are understood: number, name in JSON, type.
//!
//! Source: the published `generated.proto` of Kubernetes' APIs (k8s.io/api and k8s.io/apimachinery, release 1.36): core/v1,
//! apps/v1, batch/v1, authentication/v1, authorization/v1, rbac/v1 and meta/v1. Fields that are not here (an object's status,
//! volumes of single vendors, managedFields) are not kept.

use super::{Field, Message, Type};
use Type::{
    Bool, Bytes, Inline, Int, IntOrString, List, Map, Message as Object, Quantity, String, Time, Values,
};

/// Declares messages; they may refer to each other in any order.
macro_rules! messages {
    ($($message:ident { $($number:literal $name:ident: $of:expr,)* })*) => {
        $(static $message: Message = Message {
            fields: &[$(Field { number: $number, name: stringify!($name), of: $of },)*],
        };)*
    };
}

/// The message of a kind, by its API group and version; none if it is not understood.
pub(super) fn of_kind(api_version: &str, kind: &str) -> Option<&'static Message> {
    Some(match (api_version, kind) {
        ("v1", "Secret") => &SECRET,
        ("v1", "SecretList") => &SECRET_LIST,
        ("v1", "ConfigMap") => &CONFIG_MAP,
        ("v1", "ConfigMapList") => &CONFIG_MAP_LIST,
        ("v1", "Pod") => &POD,
        ("v1", "PodList") => &POD_LIST,
        ("v1", "ServiceAccount") => &SERVICE_ACCOUNT,
        ("v1", "Namespace") => &NAMESPACE,
        ("v1", "Service") => &SERVICE,
        ("v1", "PersistentVolumeClaim") => &PERSISTENT_VOLUME_CLAIM,
        ("apps/v1", "Deployment") => &DEPLOYMENT,
        ("apps/v1", "StatefulSet") => &STATEFUL_SET,
        ("apps/v1", "DaemonSet") => &DAEMON_SET,
        ("apps/v1", "ReplicaSet") => &REPLICA_SET,
        ("batch/v1", "Job") => &JOB,
        ("batch/v1", "CronJob") => &CRON_JOB,
        ("authentication.k8s.io/v1", "TokenRequest") => &TOKEN_REQUEST,
        ("authentication.k8s.io/v1", "TokenReview") => &TOKEN_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview") => &SELF_SUBJECT_ACCESS_REVIEW,
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview") => &SELF_SUBJECT_RULES_REVIEW,
        ("authorization.k8s.io/v1", "SubjectAccessReview" | "LocalSubjectAccessReview") => {
            &SUBJECT_ACCESS_REVIEW
        }
        ("rbac.authorization.k8s.io/v1", "Role") => &ROLE,
        ("rbac.authorization.k8s.io/v1", "RoleBinding" | "ClusterRoleBinding") => &ROLE_BINDING,
        ("rbac.authorization.k8s.io/v1", "ClusterRole") => &CLUSTER_ROLE,
        (_, "DeleteOptions") => &DELETE_OPTIONS,
        (_, "Status") => &STATUS,
        _ => return None,
    })
}

messages! {
    OWNER_REFERENCE {
        1 kind: String, 3 name: String, 4 uid: String, 5 apiVersion: String, 6 controller: Bool,
        7 blockOwnerDeletion: Bool,
    }
    OBJECT_META {
        1 name: String, 2 generateName: String, 3 namespace: String, 5 uid: String,
        6 resourceVersion: String, 7 generation: Int, 8 creationTimestamp: Time,
        9 deletionTimestamp: Time, 10 deletionGracePeriodSeconds: Int, 11 labels: Map(&String),
        12 annotations: Map(&String), 13 ownerReferences: List(&Object(&OWNER_REFERENCE)),
        14 finalizers: List(&String),
    }
    SECRET {
        1 metadata: Object(&OBJECT_META), 5 immutable: Bool, 2 data: Map(&Bytes),
        4 stringData: Map(&String), 3 type: String,
    }
    LIST_META {
        2 resourceVersion: String, 3 continue: String, 4 remainingItemCount: Int,
    }
    SECRET_LIST {
        1 metadata: Object(&LIST_META), 2 items: List(&Object(&SECRET)),
    }
    CONFIG_MAP {
        1 metadata: Object(&OBJECT_META), 4 immutable: Bool, 2 data: Map(&String),
        3 binaryData: Map(&Bytes),
    }
    CONFIG_MAP_LIST {
        1 metadata: Object(&LIST_META), 2 items: List(&Object(&CONFIG_MAP)),
    }
    HOST_PATH_VOLUME_SOURCE {
        1 path: String, 2 type: String,
    }
    EMPTY_DIR_VOLUME_SOURCE {
        1 medium: String, 2 sizeLimit: Quantity, 3 mode: Int,
    }
    KEY_TO_PATH {
        1 key: String, 2 path: String, 3 mode: Int, 4 user: Int,
    }
    SECRET_VOLUME_SOURCE {
        1 secretName: String, 2 items: List(&Object(&KEY_TO_PATH)), 3 defaultMode: Int,
        4 optional: Bool, 5 defaultUser: Int,
    }
    NFS_VOLUME_SOURCE {
        1 server: String, 2 path: String, 3 readOnly: Bool,
    }
    PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE {
        1 claimName: String, 2 readOnly: Bool,
    }
    OBJECT_FIELD_SELECTOR {
        1 apiVersion: String, 2 fieldPath: String,
    }
    RESOURCE_FIELD_SELECTOR {
        1 containerName: String, 2 resource: String, 3 divisor: Quantity,
    }
    DOWNWARD_API_VOLUME_FILE {
        1 path: String, 2 fieldRef: Object(&OBJECT_FIELD_SELECTOR),
        3 resourceFieldRef: Object(&RESOURCE_FIELD_SELECTOR), 4 mode: Int, 5 user: Int,
    }
    DOWNWARD_API_VOLUME_SOURCE {
        1 items: List(&Object(&DOWNWARD_API_VOLUME_FILE)), 2 defaultMode: Int, 3 defaultUser: Int,
    }
    LOCAL_OBJECT_REFERENCE {
        1 name: String,
    }
    CONFIG_MAP_VOLUME_SOURCE {
        1 localObjectReference: Inline(&LOCAL_OBJECT_REFERENCE),
        2 items: List(&Object(&KEY_TO_PATH)), 3 defaultMode: Int, 4 optional: Bool,
        5 defaultUser: Int,
    }
    SECRET_PROJECTION {
        1 localObjectReference: Inline(&LOCAL_OBJECT_REFERENCE),
        2 items: List(&Object(&KEY_TO_PATH)), 4 optional: Bool,
    }
    DOWNWARD_API_PROJECTION {
        1 items: List(&Object(&DOWNWARD_API_VOLUME_FILE)),
    }
    CONFIG_MAP_PROJECTION {
        1 localObjectReference: Inline(&LOCAL_OBJECT_REFERENCE),
        2 items: List(&Object(&KEY_TO_PATH)), 4 optional: Bool,
    }
    SERVICE_ACCOUNT_TOKEN_PROJECTION {
        1 audience: String, 2 expirationSeconds: Int, 3 path: String, 4 user: Int,
    }
    VOLUME_PROJECTION {
        1 secret: Object(&SECRET_PROJECTION), 2 downwardAPI: Object(&DOWNWARD_API_PROJECTION),
        3 configMap: Object(&CONFIG_MAP_PROJECTION),
        4 serviceAccountToken: Object(&SERVICE_ACCOUNT_TOKEN_PROJECTION),
    }
    PROJECTED_VOLUME_SOURCE {
        1 sources: List(&Object(&VOLUME_PROJECTION)), 2 defaultMode: Int, 3 defaultUser: Int,
    }
    CSI_VOLUME_SOURCE {
        1 driver: String, 2 readOnly: Bool, 3 fsType: String, 4 volumeAttributes: Map(&String),
        5 nodePublishSecretRef: Object(&LOCAL_OBJECT_REFERENCE),
    }
    LABEL_SELECTOR_REQUIREMENT {
        1 key: String, 2 operator: String, 3 values: List(&String),
    }
    LABEL_SELECTOR {
        1 matchLabels: Map(&String),
        2 matchExpressions: List(&Object(&LABEL_SELECTOR_REQUIREMENT)),
    }
    VOLUME_RESOURCE_REQUIREMENTS {
        1 limits: Map(&Quantity), 2 requests: Map(&Quantity),
    }
    TYPED_LOCAL_OBJECT_REFERENCE {
        1 apiGroup: String, 2 kind: String, 3 name: String,
    }
    TYPED_OBJECT_REFERENCE {
        1 apiGroup: String, 2 kind: String, 3 name: String, 4 namespace: String,
    }
    PERSISTENT_VOLUME_CLAIM_SPEC {
        1 accessModes: List(&String), 4 selector: Object(&LABEL_SELECTOR),
        2 resources: Object(&VOLUME_RESOURCE_REQUIREMENTS), 3 volumeName: String,
        5 storageClassName: String, 6 volumeMode: String,
        7 dataSource: Object(&TYPED_LOCAL_OBJECT_REFERENCE),
        8 dataSourceRef: Object(&TYPED_OBJECT_REFERENCE), 9 volumeAttributesClassName: String,
    }
    PERSISTENT_VOLUME_CLAIM_TEMPLATE {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&PERSISTENT_VOLUME_CLAIM_SPEC),
    }
    EPHEMERAL_VOLUME_SOURCE {
        1 volumeClaimTemplate: Object(&PERSISTENT_VOLUME_CLAIM_TEMPLATE),
    }
    IMAGE_VOLUME_SOURCE {
        1 reference: String, 2 pullPolicy: String,
    }
    VOLUME_SOURCE {
        1 hostPath: Object(&HOST_PATH_VOLUME_SOURCE),
        2 emptyDir: Object(&EMPTY_DIR_VOLUME_SOURCE), 6 secret: Object(&SECRET_VOLUME_SOURCE),
        7 nfs: Object(&NFS_VOLUME_SOURCE),
        10 persistentVolumeClaim: Object(&PERSISTENT_VOLUME_CLAIM_VOLUME_SOURCE),
        16 downwardAPI: Object(&DOWNWARD_API_VOLUME_SOURCE),
        19 configMap: Object(&CONFIG_MAP_VOLUME_SOURCE),
        26 projected: Object(&PROJECTED_VOLUME_SOURCE), 28 csi: Object(&CSI_VOLUME_SOURCE),
        29 ephemeral: Object(&EPHEMERAL_VOLUME_SOURCE), 30 image: Object(&IMAGE_VOLUME_SOURCE),
    }
    VOLUME {
        1 name: String, 2 volumeSource: Inline(&VOLUME_SOURCE),
    }
    CONTAINER_PORT {
        1 name: String, 2 hostPort: Int, 3 containerPort: Int, 4 protocol: String, 5 hostIP: String,
    }
    CONFIG_MAP_ENV_SOURCE {
        1 localObjectReference: Inline(&LOCAL_OBJECT_REFERENCE), 2 optional: Bool,
    }
    SECRET_ENV_SOURCE {
        1 localObjectReference: Inline(&LOCAL_OBJECT_REFERENCE), 2 optional: Bool,
    }
    ENV_FROM_SOURCE {
        1 prefix: String, 2 configMapRef: Object(&CONFIG_MAP_ENV_SOURCE),
        3 secretRef: Object(&SECRET_ENV_SOURCE),
    }
    CONFIG_MAP_KEY_SELECTOR {
        1 localObjectReference: Inline(&LOCAL_OBJECT_REFERENCE), 2 key: String, 3 optional: Bool,
    }
    SECRET_KEY_SELECTOR {
        1 localObjectReference: Inline(&LOCAL_OBJECT_REFERENCE), 2 key: String, 3 optional: Bool,
    }
    FILE_KEY_SELECTOR {
        1 volumeName: String, 2 path: String, 3 key: String, 4 optional: Bool,
    }
    ENV_VAR_SOURCE {
        1 fieldRef: Object(&OBJECT_FIELD_SELECTOR),
        2 resourceFieldRef: Object(&RESOURCE_FIELD_SELECTOR),
        3 configMapKeyRef: Object(&CONFIG_MAP_KEY_SELECTOR),
        4 secretKeyRef: Object(&SECRET_KEY_SELECTOR), 5 fileKeyRef: Object(&FILE_KEY_SELECTOR),
    }
    ENV_VAR {
        1 name: String, 2 value: String, 3 valueFrom: Object(&ENV_VAR_SOURCE),
    }
    RESOURCE_CLAIM {
        1 name: String, 2 request: String,
    }
    RESOURCE_REQUIREMENTS {
        1 limits: Map(&Quantity), 2 requests: Map(&Quantity),
        3 claims: List(&Object(&RESOURCE_CLAIM)),
    }
    CONTAINER_RESIZE_POLICY {
        1 resourceName: String, 2 restartPolicy: String,
    }
    CONTAINER_RESTART_RULE_ON_EXIT_CODES {
        1 operator: String, 2 values: List(&Int),
    }
    CONTAINER_RESTART_RULE {
        1 action: String, 2 exitCodes: Object(&CONTAINER_RESTART_RULE_ON_EXIT_CODES),
    }
    VOLUME_MOUNT {
        1 name: String, 2 readOnly: Bool, 7 recursiveReadOnly: String, 3 mountPath: String,
        4 subPath: String, 5 mountPropagation: String, 6 subPathExpr: String,
        8 bindMountOptions: List(&String),
    }
    VOLUME_DEVICE {
        1 name: String, 2 devicePath: String,
    }
    EXEC_ACTION {
        1 command: List(&String),
    }
    HTTP_HEADER {
        1 name: String, 2 value: String,
    }
    HTTP_GET_ACTION {
        1 path: String, 2 port: IntOrString, 3 host: String, 4 scheme: String,
        5 httpHeaders: List(&Object(&HTTP_HEADER)), 6 protocol: String,
    }
    TCP_SOCKET_ACTION {
        1 port: IntOrString, 2 host: String,
    }
    GRPC_ACTION {
        1 port: Int, 2 service: String, 3 mode: String,
    }
    PROBE_HANDLER {
        1 exec: Object(&EXEC_ACTION), 2 httpGet: Object(&HTTP_GET_ACTION),
        3 tcpSocket: Object(&TCP_SOCKET_ACTION), 4 grpc: Object(&GRPC_ACTION),
    }
    PROBE {
        1 handler: Inline(&PROBE_HANDLER), 2 initialDelaySeconds: Int, 3 timeoutSeconds: Int,
        4 periodSeconds: Int, 5 successThreshold: Int, 6 failureThreshold: Int,
        7 terminationGracePeriodSeconds: Int,
    }
    SLEEP_ACTION {
        1 seconds: Int,
    }
    LIFECYCLE_HANDLER {
        1 exec: Object(&EXEC_ACTION), 2 httpGet: Object(&HTTP_GET_ACTION),
        3 tcpSocket: Object(&TCP_SOCKET_ACTION), 4 sleep: Object(&SLEEP_ACTION),
    }
    LIFECYCLE {
        1 postStart: Object(&LIFECYCLE_HANDLER), 2 preStop: Object(&LIFECYCLE_HANDLER),
        3 stopSignal: String,
    }
    CAPABILITIES {
        1 add: List(&String), 2 drop: List(&String),
    }
    SE_LINUX_OPTIONS {
        1 user: String, 2 role: String, 3 type: String, 4 level: String,
    }
    WINDOWS_SECURITY_CONTEXT_OPTIONS {
        1 gmsaCredentialSpecName: String, 2 gmsaCredentialSpec: String, 3 runAsUserName: String,
        4 hostProcess: Bool,
    }
    SECCOMP_PROFILE {
        1 type: String, 2 localhostProfile: String,
    }
    APP_ARMOR_PROFILE {
        1 type: String, 2 localhostProfile: String,
    }
    SECURITY_CONTEXT {
        1 capabilities: Object(&CAPABILITIES), 2 privileged: Bool,
        3 seLinuxOptions: Object(&SE_LINUX_OPTIONS),
        10 windowsOptions: Object(&WINDOWS_SECURITY_CONTEXT_OPTIONS), 4 runAsUser: Int,
        8 runAsGroup: Int, 5 runAsNonRoot: Bool, 6 readOnlyRootFilesystem: Bool,
        7 allowPrivilegeEscalation: Bool, 9 procMount: String,
        11 seccompProfile: Object(&SECCOMP_PROFILE),
        12 appArmorProfile: Object(&APP_ARMOR_PROFILE),
    }
    CONTAINER {
        1 name: String, 2 image: String, 3 command: List(&String), 4 args: List(&String),
        5 workingDir: String, 6 ports: List(&Object(&CONTAINER_PORT)),
        19 envFrom: List(&Object(&ENV_FROM_SOURCE)), 7 env: List(&Object(&ENV_VAR)),
        8 resources: Object(&RESOURCE_REQUIREMENTS),
        23 resizePolicy: List(&Object(&CONTAINER_RESIZE_POLICY)), 24 restartPolicy: String,
        25 restartPolicyRules: List(&Object(&CONTAINER_RESTART_RULE)),
        9 volumeMounts: List(&Object(&VOLUME_MOUNT)),
        21 volumeDevices: List(&Object(&VOLUME_DEVICE)), 10 livenessProbe: Object(&PROBE),
        11 readinessProbe: Object(&PROBE), 22 startupProbe: Object(&PROBE),
        12 lifecycle: Object(&LIFECYCLE), 13 terminationMessagePath: String,
        20 terminationMessagePolicy: String, 14 imagePullPolicy: String,
        15 securityContext: Object(&SECURITY_CONTEXT), 16 stdin: Bool, 17 stdinOnce: Bool,
        18 tty: Bool,
    }
    EPHEMERAL_CONTAINER {
        1 ephemeralContainerCommon: Inline(&CONTAINER),
        2 targetContainerName: String,
    }
    SYSCTL {
        1 name: String, 2 value: String,
    }
    POD_SECURITY_CONTEXT {
        1 seLinuxOptions: Object(&SE_LINUX_OPTIONS),
        8 windowsOptions: Object(&WINDOWS_SECURITY_CONTEXT_OPTIONS), 2 runAsUser: Int,
        6 runAsGroup: Int, 3 runAsNonRoot: Bool, 4 supplementalGroups: List(&Int),
        12 supplementalGroupsPolicy: String, 5 fsGroup: Int, 7 sysctls: List(&Object(&SYSCTL)),
        9 fsGroupChangePolicy: String, 10 seccompProfile: Object(&SECCOMP_PROFILE),
        11 appArmorProfile: Object(&APP_ARMOR_PROFILE), 13 seLinuxChangePolicy: String,
    }
    NODE_SELECTOR_REQUIREMENT {
        1 key: String, 2 operator: String, 3 values: List(&String),
    }
    NODE_SELECTOR_TERM {
        1 matchExpressions: List(&Object(&NODE_SELECTOR_REQUIREMENT)),
        2 matchFields: List(&Object(&NODE_SELECTOR_REQUIREMENT)),
    }
    NODE_SELECTOR {
        1 nodeSelectorTerms: List(&Object(&NODE_SELECTOR_TERM)),
    }
    PREFERRED_SCHEDULING_TERM {
        1 weight: Int, 2 preference: Object(&NODE_SELECTOR_TERM),
    }
    NODE_AFFINITY {
        1 requiredDuringSchedulingIgnoredDuringExecution: Object(&NODE_SELECTOR),
        2 preferredDuringSchedulingIgnoredDuringExecution: List(&Object(&PREFERRED_SCHEDULING_TERM)),
    }
    POD_AFFINITY_TERM {
        1 labelSelector: Object(&LABEL_SELECTOR), 2 namespaces: List(&String),
        3 topologyKey: String, 4 namespaceSelector: Object(&LABEL_SELECTOR),
        5 matchLabelKeys: List(&String), 6 mismatchLabelKeys: List(&String),
    }
    WEIGHTED_POD_AFFINITY_TERM {
        1 weight: Int, 2 podAffinityTerm: Object(&POD_AFFINITY_TERM),
    }
    POD_AFFINITY {
        1 requiredDuringSchedulingIgnoredDuringExecution: List(&Object(&POD_AFFINITY_TERM)),
        2 preferredDuringSchedulingIgnoredDuringExecution: List(&Object(&WEIGHTED_POD_AFFINITY_TERM)),
    }
    AFFINITY {
        1 nodeAffinity: Object(&NODE_AFFINITY), 2 podAffinity: Object(&POD_AFFINITY),
        3 podAntiAffinity: Object(&POD_AFFINITY),
    }
    TOLERATION {
        1 key: String, 2 operator: String, 3 value: String, 4 effect: String,
        5 tolerationSeconds: Int,
    }
    HOST_ALIAS {
        1 ip: String, 2 hostnames: List(&String),
    }
    POD_DNS_CONFIG_OPTION {
        1 name: String, 2 value: String,
    }
    POD_DNS_CONFIG {
        1 nameservers: List(&String), 2 searches: List(&String),
        3 options: List(&Object(&POD_DNS_CONFIG_OPTION)),
    }
    POD_READINESS_GATE {
        1 conditionType: String,
    }
    TOPOLOGY_SPREAD_CONSTRAINT {
        1 maxSkew: Int, 2 topologyKey: String, 3 whenUnsatisfiable: String,
        4 labelSelector: Object(&LABEL_SELECTOR), 5 minDomains: Int, 6 nodeAffinityPolicy: String,
        7 nodeTaintsPolicy: String, 8 matchLabelKeys: List(&String),
    }
    POD_OS {
        1 name: String,
    }
    POD_SCHEDULING_GATE {
        1 name: String,
    }
    POD_RESOURCE_CLAIM {
        1 name: String, 3 resourceClaimName: String, 4 resourceClaimTemplateName: String,
    }
    POD_SPEC {
        1 volumes: List(&Object(&VOLUME)), 20 initContainers: List(&Object(&CONTAINER)),
        2 containers: List(&Object(&CONTAINER)),
        34 ephemeralContainers: List(&Object(&EPHEMERAL_CONTAINER)), 3 restartPolicy: String,
        4 terminationGracePeriodSeconds: Int, 5 activeDeadlineSeconds: Int, 6 dnsPolicy: String,
        7 nodeSelector: Map(&String), 8 serviceAccountName: String, 9 serviceAccount: String,
        21 automountServiceAccountToken: Bool, 10 nodeName: String, 11 hostNetwork: Bool,
        12 hostPID: Bool, 13 hostIPC: Bool, 27 shareProcessNamespace: Bool,
        14 securityContext: Object(&POD_SECURITY_CONTEXT),
        15 imagePullSecrets: List(&Object(&LOCAL_OBJECT_REFERENCE)), 16 hostname: String,
        17 subdomain: String, 18 affinity: Object(&AFFINITY), 19 schedulerName: String,
        22 tolerations: List(&Object(&TOLERATION)), 23 hostAliases: List(&Object(&HOST_ALIAS)),
        24 priorityClassName: String, 25 priority: Int, 26 dnsConfig: Object(&POD_DNS_CONFIG),
        28 readinessGates: List(&Object(&POD_READINESS_GATE)), 29 runtimeClassName: String,
        30 enableServiceLinks: Bool, 31 preemptionPolicy: String, 32 overhead: Map(&Quantity),
        33 topologySpreadConstraints: List(&Object(&TOPOLOGY_SPREAD_CONSTRAINT)),
        35 setHostnameAsFQDN: Bool, 36 os: Object(&POD_OS), 37 hostUsers: Bool,
        38 schedulingGates: List(&Object(&POD_SCHEDULING_GATE)),
        39 resourceClaims: List(&Object(&POD_RESOURCE_CLAIM)),
        40 resources: Object(&RESOURCE_REQUIREMENTS), 41 hostnameOverride: String,
    }
    POD {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&POD_SPEC),
    }
    POD_LIST {
        1 metadata: Object(&LIST_META), 2 items: List(&Object(&POD)),
    }
    OBJECT_REFERENCE {
        1 kind: String, 2 namespace: String, 3 name: String, 4 uid: String, 5 apiVersion: String,
        6 resourceVersion: String, 7 fieldPath: String,
    }
    SERVICE_ACCOUNT {
        1 metadata: Object(&OBJECT_META), 2 secrets: List(&Object(&OBJECT_REFERENCE)),
        3 imagePullSecrets: List(&Object(&LOCAL_OBJECT_REFERENCE)),
        4 automountServiceAccountToken: Bool,
    }
    NAMESPACE_SPEC {
        1 finalizers: List(&String),
    }
    NAMESPACE {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&NAMESPACE_SPEC),
    }
    SERVICE_PORT {
        1 name: String, 2 protocol: String, 6 appProtocol: String, 3 port: Int,
        4 targetPort: IntOrString, 5 nodePort: Int,
    }
    CLIENT_IP_CONFIG {
        1 timeoutSeconds: Int,
    }
    SESSION_AFFINITY_CONFIG {
        1 clientIP: Object(&CLIENT_IP_CONFIG),
    }
    SERVICE_SPEC {
        1 ports: List(&Object(&SERVICE_PORT)), 2 selector: Map(&String), 3 clusterIP: String,
        18 clusterIPs: List(&String), 4 type: String, 5 externalIPs: List(&String),
        7 sessionAffinity: String, 8 loadBalancerIP: String,
        9 loadBalancerSourceRanges: List(&String), 10 externalName: String,
        11 externalTrafficPolicy: String, 12 healthCheckNodePort: Int,
        13 publishNotReadyAddresses: Bool,
        14 sessionAffinityConfig: Object(&SESSION_AFFINITY_CONFIG), 19 ipFamilies: List(&String),
        17 ipFamilyPolicy: String, 20 allocateLoadBalancerNodePorts: Bool,
        21 loadBalancerClass: String, 22 internalTrafficPolicy: String,
        23 trafficDistribution: String,
    }
    SERVICE {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&SERVICE_SPEC),
    }
    PERSISTENT_VOLUME_CLAIM {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&PERSISTENT_VOLUME_CLAIM_SPEC),
    }
    POD_TEMPLATE_SPEC {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&POD_SPEC),
    }
    ROLLING_UPDATE_DEPLOYMENT {
        1 maxUnavailable: IntOrString, 2 maxSurge: IntOrString,
    }
    DEPLOYMENT_STRATEGY {
        1 type: String, 2 rollingUpdate: Object(&ROLLING_UPDATE_DEPLOYMENT),
    }
    DEPLOYMENT_SPEC {
        1 replicas: Int, 2 selector: Object(&LABEL_SELECTOR),
        3 template: Object(&POD_TEMPLATE_SPEC), 4 strategy: Object(&DEPLOYMENT_STRATEGY),
        5 minReadySeconds: Int, 6 revisionHistoryLimit: Int, 7 paused: Bool,
        9 progressDeadlineSeconds: Int,
    }
    DEPLOYMENT {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&DEPLOYMENT_SPEC),
    }
    ROLLING_UPDATE_STATEFUL_SET_STRATEGY {
        1 partition: Int, 2 maxUnavailable: IntOrString,
    }
    STATEFUL_SET_UPDATE_STRATEGY {
        1 type: String, 2 rollingUpdate: Object(&ROLLING_UPDATE_STATEFUL_SET_STRATEGY),
    }
    STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY {
        1 whenDeleted: String, 2 whenScaled: String,
    }
    STATEFUL_SET_ORDINALS {
        1 start: Int,
    }
    STATEFUL_SET_SPEC {
        1 replicas: Int, 2 selector: Object(&LABEL_SELECTOR),
        3 template: Object(&POD_TEMPLATE_SPEC),
        4 volumeClaimTemplates: List(&Object(&PERSISTENT_VOLUME_CLAIM)), 5 serviceName: String,
        6 podManagementPolicy: String, 7 updateStrategy: Object(&STATEFUL_SET_UPDATE_STRATEGY),
        8 revisionHistoryLimit: Int, 9 minReadySeconds: Int,
        10 persistentVolumeClaimRetentionPolicy: Object(&STATEFUL_SET_PERSISTENT_VOLUME_CLAIM_RETENTION_POLICY),
        11 ordinals: Object(&STATEFUL_SET_ORDINALS),
    }
    STATEFUL_SET {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&STATEFUL_SET_SPEC),
    }
    ROLLING_UPDATE_DAEMON_SET {
        1 maxUnavailable: IntOrString, 2 maxSurge: IntOrString,
    }
    DAEMON_SET_UPDATE_STRATEGY {
        1 type: String, 2 rollingUpdate: Object(&ROLLING_UPDATE_DAEMON_SET),
    }
    DAEMON_SET_SPEC {
        1 selector: Object(&LABEL_SELECTOR), 2 template: Object(&POD_TEMPLATE_SPEC),
        3 updateStrategy: Object(&DAEMON_SET_UPDATE_STRATEGY), 4 minReadySeconds: Int,
        6 revisionHistoryLimit: Int,
    }
    DAEMON_SET {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&DAEMON_SET_SPEC),
    }
    REPLICA_SET_SPEC {
        1 replicas: Int, 4 minReadySeconds: Int, 2 selector: Object(&LABEL_SELECTOR),
        3 template: Object(&POD_TEMPLATE_SPEC),
    }
    REPLICA_SET {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&REPLICA_SET_SPEC),
    }
    POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT {
        1 containerName: String, 2 operator: String, 3 values: List(&Int),
    }
    POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN {
        1 type: String, 2 status: String,
    }
    POD_FAILURE_POLICY_RULE {
        1 action: String, 2 onExitCodes: Object(&POD_FAILURE_POLICY_ON_EXIT_CODES_REQUIREMENT),
        3 onPodConditions: List(&Object(&POD_FAILURE_POLICY_ON_POD_CONDITIONS_PATTERN)),
    }
    POD_FAILURE_POLICY {
        1 rules: List(&Object(&POD_FAILURE_POLICY_RULE)),
    }
    SUCCESS_POLICY_RULE {
        1 succeededIndexes: String, 2 succeededCount: Int,
    }
    SUCCESS_POLICY {
        1 rules: List(&Object(&SUCCESS_POLICY_RULE)),
    }
    JOB_SPEC {
        1 parallelism: Int, 2 completions: Int, 3 activeDeadlineSeconds: Int,
        11 podFailurePolicy: Object(&POD_FAILURE_POLICY),
        16 successPolicy: Object(&SUCCESS_POLICY), 7 backoffLimit: Int,
        12 backoffLimitPerIndex: Int, 13 maxFailedIndexes: Int,
        4 selector: Object(&LABEL_SELECTOR), 5 manualSelector: Bool,
        6 template: Object(&POD_TEMPLATE_SPEC), 8 ttlSecondsAfterFinished: Int,
        9 completionMode: String, 10 suspend: Bool, 14 podReplacementPolicy: String,
        15 managedBy: String,
    }
    JOB {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&JOB_SPEC),
    }
    JOB_TEMPLATE_SPEC {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&JOB_SPEC),
    }
    CRON_JOB_SPEC {
        1 schedule: String, 8 timeZone: String, 2 startingDeadlineSeconds: Int,
        3 concurrencyPolicy: String, 4 suspend: Bool, 5 jobTemplate: Object(&JOB_TEMPLATE_SPEC),
        6 successfulJobsHistoryLimit: Int, 7 failedJobsHistoryLimit: Int,
    }
    CRON_JOB {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&CRON_JOB_SPEC),
    }
    BOUND_OBJECT_REFERENCE {
        1 kind: String, 2 apiVersion: String, 3 name: String, 4 uID: String,
    }
    ATTESTATION_VALUE {
        1 items: List(&String),
    }
    TOKEN_REQUEST_SPEC {
        1 audiences: List(&String), 4 expirationSeconds: Int,
        3 boundObjectRef: Object(&BOUND_OBJECT_REFERENCE),
        5 attestations: Map(&Object(&ATTESTATION_VALUE)),
    }
    TOKEN_REQUEST_STATUS {
        1 token: String, 2 expirationTimestamp: Time,
    }
    TOKEN_REQUEST {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&TOKEN_REQUEST_SPEC),
        3 status: Object(&TOKEN_REQUEST_STATUS),
    }
    TOKEN_REVIEW_SPEC {
        1 token: String, 2 audiences: List(&String),
    }
    USER_INFO {
        1 username: String, 2 uid: String, 3 groups: List(&String),
        4 extra: Map(&Values),
    }
    TOKEN_REVIEW_STATUS {
        1 authenticated: Bool, 2 user: Object(&USER_INFO), 4 audiences: List(&String),
        3 error: String,
    }
    TOKEN_REVIEW {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&TOKEN_REVIEW_SPEC),
        3 status: Object(&TOKEN_REVIEW_STATUS),
    }
    FIELD_SELECTOR_REQUIREMENT {
        1 key: String, 2 operator: String, 3 values: List(&String),
    }
    FIELD_SELECTOR_ATTRIBUTES {
        1 rawSelector: String, 2 requirements: List(&Object(&FIELD_SELECTOR_REQUIREMENT)),
    }
    LABEL_SELECTOR_ATTRIBUTES {
        1 rawSelector: String, 2 requirements: List(&Object(&LABEL_SELECTOR_REQUIREMENT)),
    }
    RESOURCE_ATTRIBUTES {
        1 namespace: String, 2 verb: String, 3 group: String, 4 version: String, 5 resource: String,
        6 subresource: String, 7 name: String, 8 fieldSelector: Object(&FIELD_SELECTOR_ATTRIBUTES),
        9 labelSelector: Object(&LABEL_SELECTOR_ATTRIBUTES),
    }
    NON_RESOURCE_ATTRIBUTES {
        1 path: String, 2 verb: String,
    }
    SELF_SUBJECT_ACCESS_REVIEW_SPEC {
        1 resourceAttributes: Object(&RESOURCE_ATTRIBUTES),
        2 nonResourceAttributes: Object(&NON_RESOURCE_ATTRIBUTES),
    }
    SUBJECT_ACCESS_REVIEW_STATUS {
        1 allowed: Bool, 4 denied: Bool, 2 reason: String, 3 evaluationError: String,
    }
    SELF_SUBJECT_ACCESS_REVIEW {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&SELF_SUBJECT_ACCESS_REVIEW_SPEC),
        3 status: Object(&SUBJECT_ACCESS_REVIEW_STATUS),
    }
    SELF_SUBJECT_RULES_REVIEW_SPEC {
        1 namespace: String,
    }
    RESOURCE_RULE {
        1 verbs: List(&String), 2 apiGroups: List(&String), 3 resources: List(&String),
        4 resourceNames: List(&String),
    }
    NON_RESOURCE_RULE {
        1 verbs: List(&String), 2 nonResourceURLs: List(&String),
    }
    SUBJECT_RULES_REVIEW_STATUS {
        1 resourceRules: List(&Object(&RESOURCE_RULE)),
        2 nonResourceRules: List(&Object(&NON_RESOURCE_RULE)), 3 incomplete: Bool,
        4 evaluationError: String,
    }
    SELF_SUBJECT_RULES_REVIEW {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&SELF_SUBJECT_RULES_REVIEW_SPEC),
        3 status: Object(&SUBJECT_RULES_REVIEW_STATUS),
    }
    SUBJECT_ACCESS_REVIEW_SPEC {
        1 resourceAttributes: Object(&RESOURCE_ATTRIBUTES),
        2 nonResourceAttributes: Object(&NON_RESOURCE_ATTRIBUTES), 3 user: String,
        4 groups: List(&String), 5 extra: Map(&Values), 6 uid: String,
    }
    SUBJECT_ACCESS_REVIEW {
        1 metadata: Object(&OBJECT_META), 2 spec: Object(&SUBJECT_ACCESS_REVIEW_SPEC),
        3 status: Object(&SUBJECT_ACCESS_REVIEW_STATUS),
    }
    PRECONDITIONS {
        1 uid: String, 2 resourceVersion: String,
    }
    DELETE_OPTIONS {
        1 gracePeriodSeconds: Int, 2 preconditions: Object(&PRECONDITIONS),
        3 orphanDependents: Bool, 4 propagationPolicy: String, 5 dryRun: List(&String),
    }
    STATUS_CAUSE {
        1 reason: String, 2 message: String, 3 field: String,
    }
    STATUS_DETAILS {
        1 name: String, 2 group: String, 3 kind: String, 4 causes: List(&Object(&STATUS_CAUSE)),
        5 retryAfterSeconds: Int, 6 uid: String,
    }
    STATUS {
        1 metadata: Object(&LIST_META), 2 status: String, 3 message: String, 4 reason: String,
        5 details: Object(&STATUS_DETAILS), 6 code: Int,
    }
    POLICY_RULE {
        1 verbs: List(&String), 2 apiGroups: List(&String), 3 resources: List(&String),
        4 resourceNames: List(&String), 5 nonResourceURLs: List(&String),
    }
    ROLE {
        1 metadata: Object(&OBJECT_META), 2 rules: List(&Object(&POLICY_RULE)),
    }
    SUBJECT {
        1 kind: String, 2 apiGroup: String, 3 name: String, 4 namespace: String,
    }
    ROLE_REF {
        1 apiGroup: String, 2 kind: String, 3 name: String,
    }
    ROLE_BINDING {
        1 metadata: Object(&OBJECT_META), 2 subjects: List(&Object(&SUBJECT)),
        3 roleRef: Object(&ROLE_REF),
    }
    AGGREGATION_RULE {
        1 clusterRoleSelectors: List(&Object(&LABEL_SELECTOR)),
    }
    CLUSTER_ROLE {
        1 metadata: Object(&OBJECT_META), 2 rules: List(&Object(&POLICY_RULE)),
        3 aggregationRule: Object(&AGGREGATION_RULE),
    }
}
