"""Which cookies are open, which are credentials, and which are familiar enough for a pattern such as ``*``.

1. A browser sends the cookies of every service on its host, so only a few well-known names of preferences are open.
2. Login cookies of this server and its Hub cross under no option.
3. A cookie whose words say credential, or that is known as a product's login, needs its exact name in
   ``unsafe_cookies``.
4. A pattern that names nothing in particular opens only names that are made of plain words: opaque names (``rtFa``,
   ``TGC``, ``li_at``) are too often logins.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.resources import files

from . import nouns, words
from .lexicon import PEOPLE
from .nouns import Level
from .patterns import matches, normal, remembered

OPEN = frozenset(
    """
    theme color-scheme colour-scheme color-mode colour-mode color-theme theme-mode preferred-theme
    preferred-color-scheme preferred-color-mode prefers-color-scheme nuxt-color-mode dark-mode darkmode reduced-motion
    prefers-reduced-motion high-contrast font-size lang language locale lng ui-lang ui-language ui-locale user-lang
    user-language user-locale site-language site-lang preferred-language preferred-locale accept-language
    selected-language current-language django-language next-locale i18next i18n i18n-redirected paraglide-locale
    umi-locale pll-language wp-lang wp-wpml-current-language play-lang tableau-locale -locale -lang tz timezone
    time-zone user-timezone user-tz browser-timezone tz-offset timezone-offset django-timezone
    """.split()
)
NEVER = ("-xsrf", "jupyterhub-*", "service-*", "username-*", "*oauth-state*")
LOGINS = tuple(  # logins of products, even if their names have harmless words
    """
    --host-* --secure-* -oauth2-proxy* *pomerium* gcp-ia* cf[-.]* --cf* -cf* awselb* awsalb* arraffinity* incap-*
    visid-incap* bigipserver* user-list-id metabase.* xs osid adminhtml* usercontext -airflow* a0:* idx dt -identity
    *csrf* *xsrf* *jwt* .asp* *logged-in* at-main x-main iplanet* typo3* moodle* user-list* *clerk* known-sign-in*
    sidcc swap remember-web* remember-admin* remember-user*
    """.split()
)
PRODUCTS = tuple(  # cookies of products, which are logins unless their names are made of plain words
    """
    --host-* --secure-* -oauth2-proxy* *pomerium* gcp-ia* cf[-.]* --cf* -cf* awselb* awsalb* arraffinity* incap-*
    visid-incap* nlbi-* bigipserver* ts01* ak-bmsc bm-sz bm-sv -abck datadome ak-* kc-* keycloak* authelia* authentik*
    -gitlab* gitea-* i-like-go* gogs-* gerrit* grafana-[st]* grafana user-list-id user-id port-token rsconnect rsc-*
    phpmyadmin* pma* adminer* gcp-iap* tgc castgc* ob?sso* oam* ora-oam* ora-fusion* ltpa* msis* rtfa fedauth*
    estsauth* spoid* buid esctx* fpc x-ms-cpim* x-ms-gateway* nsc-* smid smsession smidentity smtryno smonauth
    smchallenge dsid dsfirst* dslast* dslaunch* swap svpn* apscookie* webvpn* sslvpn* mrhsession* lastmrh* f5-st* f5*
    tin pan* gp-* cpcvpn* pveauth* pmgauth* sysauth* luci* unifises* stay-login did argocd* jwe* zbx* icinga* nagios*
    centreon* checkmk* check-mk* auth-* nc-* oc-* ocs-* oc[0-9a-z]* owncloud* roundcube* rainloop* squirrelmail* sqm*
    zm-* horde* imp-* sogo* cadata* usercontext* x-owa* .aspnet* .aspx* .dotnetnuke* dnn* ss-id ss-pid ss-tok ss-opt
    ci-session laravel* xsrf* koa* connect.* express* --ac -ac fe-typo* be-typo* typo3* sess[0-9a-f]* ssess*
    wordpress-[lst]* wordpress-[0-9a-f]* wp-postpass* wp-api* dw[0-9a-f]* dokuwiki* foswiki* twiki* otrs* znuny*
    smfcookie* phpbb* vbb* bb-* bblast* ips4* xf-* mybb* discourse* -t -forum* flarum* nodebb* sapisid apisid hsid
    lsid osid nid sidcc ssid sidts *psid* li-at liap li-rm bcookie bscookie lidc c-user xs fr sb datr dbln ct0 twid
    kdt guest-id* ds-user* ig-did mcd ps-n ps-l reddit* token-v2 edgebucket -gh-* dotcom-* logged-in* saved-user*
    at-main sess-at* ubid* x-main* aws-* noflush-* session-id* heroku* figma* intercom* -zendesk* -shopify* adminhtml*
    x-magento* form-key private-content* frontend* moodle* metabase* mm[a-z]* rc-* rocket* superset* kibana* redash*
    -redash* airflow* -airflow* mlflow* prefect* dagster* looker* qlik* x-qlik* tableau-[ast]* workgroup-* splunk*
    octopus* skymarshal* portainer* r-sess r-username rancher* harbor* nx* rtfact* tcsession* bamboo* bitbucket* -atl*
    atl* seraph* crowd* cloud.* tenant.* jsession* bugzilla* trac-* -redmine* -rails* rack.* ring-session play-session
    cakephp* cakecookie* yii* -identity* -interop* authservice* --client* --clerk* -clerk* --stripe* authjs* auth0*
    a0:* okta* dt idx pf pf.* pa.* pingfed* amlb* iplanet* openam* -shib* -saml* mellon* mod-auth* -vouch* vouch*
    -forward-auth* traefik* supertokens* sb-* st-* sfront* srefresh* saccess* sidrefresh* kratos* ory-* firebase* -fb*
    fbsr-* sails* hapi* feathers* meteor* ghost-* strapi* directus* nocodb* n8n* baserow* wiki* mediawiki* [a-z]*wiki*
    cockpit* webmin* usermin* cpsession* webmail* plesk* whm* vsphere* vmware* vcloud* proxmox* synology* qts* nas-*
    homeassistant* esphome* octoprint* plex* emby* jellyfin* jfsession* sonar* teamcity* gocd* jenkins*
    screenresolution-auth* hudson* drone* -session* spinnaker* consul* nomad* vault* minio* ceph* influx* chronograf*
    prometheus* graylog* kong* tyk* snowflake* databricks* dash-* posit* shiny* -streamlit* streamlit* gradio* panel-*
    vscode* code-server* coder-* theia* che-* zeppelin* hue* ambari* cloudera* ranger* asp.net* aspsession* cfid
    cftoken cfglobals cfauth* cfmagic blackboard* jive* lithium* salesforce* sfdc* oid inst bid clientsrc servicenow*
    glide-* workday* sap-* mysapsso* pega* peoplesoft* ps-token* psftsess* oracle* ebs* siebel* kc-restart ccm* -sid*
    sid[0-9]* acegi* spring-* remember* rememberme* autologin* -simpleauth* mt-* kt-* drupal* uaa* x-uaa* jira*
    confluence*
    """.split()
)
ANALYTICS = tuple(
    """
    -ga -ga-* -gid -gat -gat-* -gcl-* -fbp -fbc -pk-* -pcap-* -uetvid -clck -clsk ajs-anonymous-id mp-*-mixpanel utm-*
    hubspotutk --hstc
    """.split()
)
_BROWSER_PREFIXES = ("--host-", "--secure-")


@remembered
def is_never(key: str) -> bool:
    """Whether a cookie is one of the server's own or of its Hub's, also under a browser's name prefix."""
    for prefix in _BROWSER_PREFIXES:
        key = key.removeprefix(prefix)
    return matches(key, NEVER)


@remembered
def is_credential(name: str) -> bool:
    """Whether a cookie's words say credential, or it is known as a product's login."""
    key = normal(name)
    if matches(key, LOGINS) or max(nouns.judge(name), nouns.judge(key)) > Level.HARMLESS:
        return True
    return matches(key, PRODUCTS) and key not in OPEN and not is_familiar(name)


@remembered
def is_familiar(name: str) -> bool:
    """Whether a cookie's name is made of plain words, and its noun is not a person."""
    key = normal(name)
    return key in OPEN or matches(key, ANALYTICS) or _is_plain(words.split(name)) or _is_plain(words.split(key))


def _is_plain(found: tuple[str, ...]) -> bool:
    if not found or found[-1] in PEOPLE or any(word not in words.KNOWN and word not in _common() for word in found):
        return False
    return found[-1] not in ("id", "ids", "name", "context") or PEOPLE.isdisjoint(found)


@lru_cache(maxsize=1)
def _common() -> frozenset[str]:
    """Return the common English words of ``common.txt``, which make a name familiar and say nothing else about it."""
    return frozenset(files(__package__).joinpath("common.txt").read_text("ascii").split())
