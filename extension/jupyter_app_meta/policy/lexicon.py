"""The words from which names of credentials are made, and the words that qualify them.

A word of ``CREDENTIALS`` says credential if it is the noun of the name. The sets below say when it does not, and when
another noun does: a word of ``KEY_OF_CREDENTIAL`` makes a key a credential, a word of ``TOKEN_OF_DATA`` makes a token
harmless.
"""

from __future__ import annotations

CREDENTIALS = frozenset(
    """
    pw psw passw antiforgery apikey assertion assertions auth authenticate authentication authenticator authenticity
    authn authorisation authorization auths authz bearer ccsrf cookie cred credential credentials creds crumb csrf
    csrfmiddleware dsn hdnea hdntl hdnts hmac hotp jwe jws jwt kerberos key krb kubeconfig ltpa macaroon magic nonce
    ntlm oauth oidc openid otc otp ott paseto passcode passcodes passkey passphrase passphrases passwd password
    passwords pat pgt pgtiou pin postpass privatekey psk pwd rememberme saml sas secret secrets sesame sess sessid
    session sessionid sid sig signature sso tgc tgt ticket tk tkn tok token tokn totp verifier wresult xsrf zak
    """.split()
)
# Nouns that are harmless if the value is an ordinary one.
WEAK = frozenset(
    """
    access cookies crumb keys licence license login logins logged loggedin logon macaroon magic pat remember
    remembered serial sesame sessions sign signatures signin tickets tk tokens
    """.split()
)
# Nouns that say credential only behind another word.
QUALIFIED = frozenset("pass code state hash digest challenge link string str me phrase word hint sign".split())
# Words that only carry the thing that is named before them: token_value.
CARRIERS = frozenset(
    """
    again art b blob body bytes confirm confirmation content current data ed encoded encrypted header hex jar md new
    old payload plain plaintext raw repeat request response sha str string text value values
    """.split()
)
PASSWORDS = frozenset("pw psw passw password passwd pwd passphrase passcode secret".split())
IDENTIFIERS = frozenset("id ids uuid guid uid no number".split())
KEY_OF_CREDENTIAL = frozenset(
    """
    access account activation admin aes api apis app application auth bearer bot cipher client confirm confirmation
    consumer crypt crypto csrf decrypt decryption deploy device download ecdsa embed encrypt encryption feed form
    function functions gpg guest hmac hook host ical ingest ingestion insert instrumentation integration invitation
    maps invite join jwt licence license login master oauth optout pair password pgp preshared preview private publish
    publishable read recover recovery registration reset rest ro root rsa rss rw secret security sentry server service
    sess session share shared sharing signature signed signing ssh storage stream subscription token unlock
    unsubscribe upload user verification verify webhook wifi write
    """.split()
)
KEY_OF_DATA_TOO = frozenset(
    """
    product user customer account app form feed view write read function pair preview serial
    """.split()
)
CODE_OF_CREDENTIAL = frozenset(
    """
    access activate activation app approval auth authentication authorisation authorization backup challenge claim
    confirm confirmation device email emergency entry exchange invitation invite join login logon magic mfa oauth oob
    otp pairing pass passcode pin recover recovery redeem register registration reset scratch secret security session
    signin sms sso temp temporary tfa token totp twofactor unlock user verification verify verifying
    """.split()
)
PASS_OF_CREDENTIAL = frozenset(
    """
    db ftp smtp user root admin wifi mail email login auth my new old confirm one sql mysql post amp
    """.split()
)
TOKEN_OF_DATA = frozenset(
    """
    base bos cls continuation design end eos fiat first last mask max min native next nft pad page prev previous quote
    sep special start stop sync unk word wrapped
    """.split()
)
SIGNATURE_OF_DATA = frozenset(
    """
    key time mutational gene genes method function email spectral type chord rhythm p n is non not no min max visual
    design author color block
    """.split()
)
LOGINS = frozenset(
    """
    auth oauth oidc login logon signin sso saml session sess openid authn authorize authorization
    """.split()
)
PEOPLE = frozenset("user users username owner client customer person email mail identity identities".split())
TECHNICAL = frozenset("api ip addr address proxy peer".split())

# The words that a run of letters may end with, the longest first.
SUFFIXES = tuple(
    """
    authorization credentials credential passphrase signature password assertion passcode kubeconfig sessionid
    antiforgery session cookie secret ticket bearer sessid passwd apikey nonce token oauth creds saml sess auth xsrf
    csrf hmac totp code jwt tkn key otp pwd sig sid sso
    """.split()
)
# The words that a run of letters may begin with.
PREFIXES = tuple(
    """
    authorization credentials credential passphrase signature password assertion session secret ticket cookie bearer
    passwd apikey token oauth saml sess auth xsrf csrf hmac totp otp jwt sso login remember
    """.split()
)
# Words of two letters that are recognized at the front of such a run, and inside it.
SHORT_HEADS = frozenset("db php js my wp http ftp rl ui ab is no on off tz".split())
SHORT_WORDS = frozenset("id ip db ui by to of in on me".split())
