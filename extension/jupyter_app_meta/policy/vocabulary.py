"""Plain words, of which the names of preferences, filters, measures and things on a page are made.

A name's last word is its noun. If the noun is listed here, the name is harmless even if another of its words says
credential: ``token_count`` is a count. Words for people and for credentials must not be listed here.
"""

from __future__ import annotations

_LOOKS = """
    accent align alignment angle animation animations appearance aspect autoplay background banner bar bars big bold
    border bottom box brightness browser caption captions card cards carousel cell cells center centre chart charts
    closed collapsed color colors colour colours column columns compact contrast css cursor dark default density depth
    desktop device dialog dialogs direction dismissed display dpr drawer dropdown editor emoji expanded fold folded
    font fonts footer format formats full fullscreen grid gutter header headers height hidden hide high hint hints
    html icon icons image images indent inline large layout layouts left legend light line lines list lists logo low
    map maps margin medium menu menus minimized mobile modal mode modes motion muted narrow nav navbar navigation
    night nightmode opacity open opened orientation os outline padding page pages palette pane panel panels pinned
    pins pixel pixels placeholder playback popover popup popups position preview print quality radius ratio reduced
    resize right rotate rotation round row rows scale screen scroll seen shadow shape show showed shown side sidebar
    sidebars size sizes skin slide slider slides small spacing split stack sticky stroke style styles stylesheet
    subtitle subtitles svg tab table tables tablet tabs text texture theme themes thick thin thumbnail tile tiles tiny
    title titles toggle tool toolbar toolbars tooltip tooltips top touch tour transition transparency tray tree
    typography ui underline unfolded ux vertical video view viewed viewer viewport views visibility visible
    visualization volume weight wide widget widgets width window windows wrap zoom
    """
_CHOICES = """
    ab accept accepted accessibility active activity ad added ads age agreed alert alerts analytics announcement
    announcements answered applied asked au auto automatic available beacon beta bookmark bookmarks borlabs bucket
    bucketed campaign campaigns cart categories category ccpa changed checked choice choices chosen clck clicked
    clicks clid close clsk completed config configuration confirmed consent consents content cookiebanner
    cookieconsent cookielaw cookies cookieyes created currency custom customization declined deleted deny detected
    didomi disabled disclaimer dnt download downloads duration durations enable enabled enforcement euconsent exit
    experience experiment experiments expiration expired expires expiry favorite favorites favourite favourites fbc
    fbclid fbp feature features feedback field fields filter filters first flag flags followed ga gat gcl gclid gdpr
    gid goal gpc group grouped groups history hjid hl home ignored impressions included installed intro join joined
    keep label labels landing lang langs language languages last lastest later latest level levels lifetime lng local
    locale locales location locations manual marketing message messages method methods minimal modified msclkid
    necessary never newsletter next notice notices notification notifications off on onboarding onetrust only optanon
    optanonconsent optin option optional options optout order ordering orders osano other paginate pagination per
    performance permission personalization pk plan plans policy preference preferences preferred prefers prefs
    previous privacy progress promo prompt provider providers publish quantity queries query question quick rate rated
    rates rating recent recently recommended redirect redirected ref referer referral referrer reminder removed
    required results returning review reviews save saved search searched searches section sections select selected
    selection setting settings shipping shortcut shortcuts skip skipped sort sortby sorted sorting source step steps
    store strategy submit subscribed suggestion suggestions survey switch tag tags target targeting term terms test
    tested testing tests timeout tip tips ttl tutorial type types unread unsubscribed updated use used usercentrics
    utm utma utmb utmc utmt utmv utmz variant variants variation version versions visit visited visits voted warning
    warnings welcome wizard
    """
_TIME_PLACE = """
    after afternoon annual april area areas august autumn before begin between block borough building calendar campus
    cities city climate coast continent coordinates countries country county daily date dates datetime day days
    daytime decade december distance district dst earth east elevation end ended ends era evening february floor
    friday from geo geography georegion gmt hemisphere hour hourly hours island iso january july june lat latitude lon
    longitude march metro minute minutes monday month monthly months morning nation nationality neighborhood
    neighbourhood noon north november now october offset past period periods place places planet port ports postal
    postcode province quarter quarterly quarters recurrence region regions road room rooms route routes saturday
    season seasons second seconds september since site sites south spring start started station stations street suburb
    summer sunday temporal territory thursday time timeline times timestamp timezone timezones today tomorrow town
    tuesday tz tzoffset until utc valley village weather wednesday week weekday weekend weekly weeks west winter world
    year yearly years yesterday zip zipcode zone zones
    """
_DATA = """
    absolute accuracy actual aggregate aggregation algorithm allele alpha amount amounts analysis annotation array
    arrow asc ascending assay atlas attribute attributes average avg axes axis balance band bands baseline batch
    batches bbox benchmark best bin binning bins bit bits bond bonds bound bounds branch branches budget budgets build
    builds bundle byte calculation candidate capacity cash ceiling chapter checksum chromosome class classes
    classification cluster clusters cnt coefficient cohort cohorts collection collections combination commit commits
    comparison component components composite concentration condition conditions confidence constraint contract copy
    correlation cost costs count counter counters counts course courses coverage crc criteria criterion cumulative
    curve cycle cycles dashboard dashboards database dataset datasets decay decimal decimals degree delta deployment
    desc descending description dictionary difference digits dimension dimensions distribution document documents
    domain domains dose dpi draft dropout effect effects element elements encoding energy ensemble entities entity
    entries entry env environment environments epoch epochs eq equation error errors estimate estimates etag
    evaluation event events exam example examples exams expression extension extent facet factor factors failure
    family figure figures file filename files fill film fit flow flux focus folder folders force forecast foreign
    formula fraction frame frames frequency fuel function gain gamma gas gene genes genome genre goods grade grades
    gradient grain graph graphs growth gt gte health heat histogram holding horizon house hypothesis idx income index
    indexes indicator indicators indices industry infinity info information initial input inputs inspection instance
    instances instrument insurance integer intensity interaction interest interval intervals inventory invoice item
    items iteration iterations job jobs joint kernel kernels kind kinds lag lambda layer layers learning len length
    lengths library limit limits loan log logs lookup loss lower lt lte machine magnitude major market markets mass
    material matrix max maximum md mean measure measurement measures median memory merge meta metadata metric metrics
    micro milestone min minimum minor model models module modules moment momentum money morphology movie movies
    musical mutation name names natural ne network neuron news node nodes noise normal normalization note notebook
    notebooks notes null num object objects observation operation operator optimizer orbit organism origin outcome
    outlier output outputs overlap package packages pair pairs paper parameter parameters parent part partition parts
    patch path paths pattern patterns payment pct peak penalty percent percentage percentile phase phases photo
    physics piano pipeline plate plot plots point points pool population portfolio pos power ppi prediction
    predictions pressure price prices primary prior priority probability process product products profile profit
    project projection projects property protein proteins purpose qty quantile quota range ranges rank ranking ranks
    reaction reading readings record records reference regression rel relative release releases remaining report
    reports resolution resource resources result retry return returns rev revenue revision revisions risk risks run
    runs runtime sale sales sample samples sampling scenario scenarios schedule schema schemas score scores seed
    segment segments sensor sensors sequence sequences series sha shard shards shift sigma signal signals significance
    slice slope smoothing snapshot solver spec species spectrum speed spread sprint stage stages standard stat
    statistic statistics stats status statuses std stock stocks strain strand strength stress structure studies study
    subset sum summary super supply support surface surrogate symbol symbols system systems tail tariff task tasks tax
    taxonomy temperature template templates tensor tenure thickness threshold thresholds ticker tier tissue tolerance
    topic topics total totals trace trade traffic train training transform transformation transit treatment trend
    trends trial trials truth tumor tumour tuple unique unit units upper uptime usage utilization validation variable
    variables variance variety vector velocity vendor ver vocabulary volatility voltage warehouse water wave
    wavelength weights well wells wind workflow workflows workload yield
    """
_THINGS = """
    academic agriculture air album albums animal animals answer answers apple art article articles artist arts aside
    assess assessable assessed assesses assessing assessment assessments assessor asset assets assid assign assigned
    assignee assignees assignment assignments attempt attempts auction author authored authoring authorised
    authoritative authorities authority authorized authors authorship bag baggage bank barcode barcodes base baseball
    basket battery beer besides bike biology bird black blog blue board boat book books bottle brand brands bread
    breadcrumb breadcrumbs brick bridge brown bug bugs bus business butter button buttons bypass bypassed bytecode
    bytecodes cable cake camera cancer capital car cars cat cats cause chain chair channel channels chat chemistry
    chess child children chip circle clock cloud club coat codebase codebook codec codecs codepage codepoint coder
    coders codes coding coffee coin collapse college comment comments community company compartment compass compasses
    compassion compassionate computer concert concerted conduct conference consign consigned consignee consignment
    consigns contest context controller cook copyright corner cosign cosigned cosigner cosine cotton cover crew
    cricket crop cross crown cuisine culture cup curriculum cut dairy dance deal deals deck decode decoded decoder
    decoders decodes decoding delivery demand demo demographics department departments design designate designated
    designation designed designer designers designing designs desk dessert detail details diagnosis diet dinner
    discount discounts discussion disease dish dog dogs dollar donkey donkeys door dress drink drive driver drivers
    drug drugs ear eco economy edge edit edition education egg election electric electronics embassy emission
    emissions employment encode encoded encoder encoders encodes engine engineering england english ensign
    entertainment episode episodes equipment espresso essay essays estate ethics euro exercise exhibition expense
    expenses export exports fabric fact factory facts fair farm fashion festival finance fire fish fishing flight
    flights flower food foods football forest forum france french fruit fun fund funds furniture future gallery game
    games garden gender general geocode geocoded geocoder geocoding german germany gift glass gold golf government
    grammar grass gray green grey guide guides hair hand hardware harvest hashtag hashtags head heading heart help
    hero hockey holiday horse hospital hot hotel hotels hotkey hotkeys household housing human humidity ice idea
    import imports inch incident incidents inside insight insightful insights insignia insignificant instruction
    instructions interior international internet interview invest investment iron issue issues jacket jazz jockey
    jockeys journal journey keyboard keyboards keyed keyframe keyframes keyhole keying keyless keymap keymaps keynote
    keynotes keypad keypath keypoint keypoints keyspace keyspaces keystone keystroke keystrokes keyword keywording
    keywords kid kids kitchen knowledge lab labor laboratory lackey lake land laptop lasso law lead leader lease
    lecture lecturer legacy lens lesson lessons letter letters life lift lion liquid literature live load lodging
    logic logistics london lot lottery lounge love luck lunch magazine malarkey mall man manufacturer marathon marine
    mark marriage mascot math meal meals meat media medicine meeting meetings member memo men mention mentions metal
    mickey mile miles military milk mineral mining mirror mission mix mobility monitor monitors monkey monkeys mood
    moon mother motor mountain mouse mouth movement museum music nature navy neck nest net nurse nursing nut nutrition
    oasis obsess obsessed obsession obsessions obsessive ocean odor oil olympics opcode opcodes opera opinion opinions
    orange orchestra organ outdoor outside overpass paint park parking parliament party passable passage passages
    passed passenger passengers passer passes passing passion passionate passive passively passport passports pasta
    patent patio peace pen pencil pet pick pickup pie pig piggy pill pilot pincushion pink pipe pizza plane plant
    plants plastic platform platforms play plugin plugins podcast poem poetry police politics poll pollution pop
    portal possess possessed possesses possession possessions possessive post poster posts potato poverty practice
    pregnancy presence presided president press prison prize problem problems production profession program programs
    promise psychology public publication publications publisher pump puppy purchase purchases purple puzzle quest
    quiz quizzes quote quotes race rack radio rail rain reassess reassessed recipe recipes recode recoded recycle red
    redesign redesigned repo repos repository repossess repossession republic research reservation resid reside
    resided residence residences residency resident residential residents resides residual residuals resign resigned
    resigns restaurant restaurants retail retailer retirement rice ring river robot rock roof rose rubber rugby rule
    rules sacred safety sail salad salary salon salt sand santa satellite sauce scholarship school schools science
    sciences sea seasonality seat seats secrecy secretarial secretariat secretaries secretary secretion secretions
    seller seminar sensitivity service services sessile sex sheet shell ship shipment shipments shoe shoes shop
    shopping shops sidecar sidecars sideline sidelines sidereal sides sidewalk sideways sighting signage signaling
    significant significantly signify signpost signposts silver sine singer sky sleep smoke snow soap soccer social
    society sock software soil solar soldier song songs sound soup spa space spaces spice spin spinner spoon sport
    sports stadium stair star stars startup steel stone storage stories storm story student studio stuff sugar suit
    supermarket supplier suppliers surgery sustainability sweet swim syllabus talent tea teaching team teams
    technology television tennis theater theatre theory thing things thread threads thriller ticketing tide timber
    tire toast tobacco toilet tokenise tokenised tokeniser tokenization tokenize tokenized tokenizer tokenizers tokyo
    tone tooth tourism tower toy track tracks tractor trail transcode transcoded translation translations transport
    travel treasure trespass trip trips truck turkey turkeys turnkey tv umbrella underpass unicode uniform
    universities university unsigned urban vacation vaccine vegetable vegetables vehicle vehicles vertex vessel wall
    war watch whiskey whisky white wine wing woman women wood wool word words work works workshop yard yellow yoga
    zebra zoning zoo
    """
_GRAMMAR = """
    v visitor visitors django scheme schemes rails browserslist
    a about above all also always an and any are as at back bad be been below both but by can could did do does done
    down each either every false few for good had has have here how i if in into is isn it its just less like made
    make many may more most much must n near need new no non none not of old once one onto or our out over own same so
    some such than that the their them then there these they this those through to too true two under up upon very was
    way were what when where which while who why will with within without would x y yes yet you your z
    """
_TECH = """
    altair app application apps async backend bokeh cache cached cdn chrome cloudfront compression connection cpu
    debug dev development devtools dialect disk dns dom emacs firefox framework gpu headless http https ide julia
    jupyter jupyterlab katex kubernetes latex lib linux localhost mac markdown mathjax matplotlib microsoft mime
    nodejs nvidia offline online paraglide perf pll plotly polling prefetch prod python r regex render renderer rtt
    safari sandbox scala scheduler script scripts sdk socket span spans sql staging sync syntax tableau telemetry
    tensorflow terminal timer tracing tracking typescript ubuntu unix vega vim virtual voila web webgl webp websocket
    worker workers wp wpml xhr
    """

_GROUPS = (_LOOKS, _CHOICES, _TIME_PLACE, _DATA, _THINGS, _GRAMMAR, _TECH)
PLAIN = frozenset(word for group in _GROUPS for word in group.split() if "-" not in word)
