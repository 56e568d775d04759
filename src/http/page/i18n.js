// The two languages of the page. Refusals arrive as a stable code and a Chinese text: Chinese
// readers get the text as it came, English readers the words for the code.

const DICTIONARY = {
  en: {
    skip: "Skip to content", rooms: "All rooms", pages: "Pages", otherLanguage: "中文", switchLanguage: "切换到中文",
    login: "Log in", logout: "Log out", register: "Create account", balance: "Your coins",
    heroTitle: "Live rooms, right now", heroText: "Join a room, say something that flies across the stage, send a gift. Everybody sees it in the same order.",
    createLive: "Go live", create: "Create room", liveTitle: "Title", cover: "Cover", noLives: "No rooms yet. Be the first to go live.",
    previous: "Previous", next: "Next", page: "Page {page}", back: "Back to all rooms",
    online: "Online", views: "Views", liveCoins: "Coins received", controls: "Streamer controls",
    start: "Start", resume: "Resume", pause: "Pause", end: "End", pushAddress: "Stream address", danmaku: "Flying comments",
    gifts: "Gifts", giftCount: "How many", chat: "Chat", newMessages: "New messages", commentLabel: "Your comment",
    commentPlaceholder: "Say something…", send: "Send", close: "Close", cancel: "Cancel", copy: "Copy", copied: "Copied",
    username: "Username", password: "Password", repassword: "Password again",
    loginTitle: "Welcome back", registerTitle: "Create your account", toRegister: "New here? Create an account", toLogin: "Have an account? Log in",
    pushHelp: "Point your encoder at your media server with this path. It carries a sign that expires.",
    pushSecret: "Keep it to yourself: whoever has this address can broadcast as you.",
    endTitle: "End this broadcast?", endText: "It cannot be started again.",
    status0: "Not started", status1: "LIVE", status2: "Paused", status3: "Ended",
    notice0: "The broadcast has not started", notice0Text: "You will be let in as soon as it does.", notice0Owner: "Press Start when you are ready.",
    notice2: "Paused", notice2Text: "The streamer will be right back.",
    notice3: "The broadcast has ended", notice3Text: "{views} views · {coins} coins",
    kicked: "You were removed from this room", kickedText: "You may come back in {time}.", kickedOver: "You may come back now.", comeBack: "Come back",
    bannedTitle: "You are banned from this room", forEver: "for ever", until: "until {time}", untilLiveEnds: "until this live ends",
    muted: "You are muted here", mutedFor: "You are muted for {time}", frozen: "Only the streamer and moderators speak now", frozenFor: "Only the streamer and moderators speak now",
    followers_only: "Followers only: follow the streamer to speak", followers_onlyFor: "Followers only: you may speak in {time}",
    gifters_only: "Only those who gave a gift speak now", gifters_onlyFor: "Only those who gave a gift speak now",
    slow_mode: "Slow mode", slow_modeFor: "Slow mode: you may speak again in {time}",
    modes: "Modes", off: "Off", anyFollower: "Any follower", coins: "{count} coins",
    set_shield: "Shield", shieldHelp: "For a raid: slow mode, followers only, and links and new accounts are held for review.",
    set_frozen: "Only moderators speak", set_gifts_paused: "Pause gifts", set_slow_s: "Slow mode", set_followers_min: "Followers only",
    set_gifters_coins: "Gifters only", set_unique_s: "No repeats for", set_mod_delay_s: "Moderators see first",
    shown_shield: "Shield", shown_frozen: "Only moderators speak", shown_gifts_paused: "Gifts paused", shown_slow_s: "Slow: {words}",
    shown_followers_min: "Followers: {words}", shown_gifters_coins: "Gifters: {words}", shown_unique_s: "No repeats: {words}", shown_mod_delay_s: "Delay: {words}",
    span_s: "{n} s", span_min: "{n} min", span_h: "{n} h", span_d: "{n} d",
    pinned: "Pinned comment", unpin: "Unpin", pinComment: "Pin comment", didPin: "The comment is pinned",
    review: "Review", reviewEmpty: "Nothing waits for review.", approve: "Approve", deny: "Deny", dismissReports: "Dismiss",
    heldBy: "Held: {rule}", rule_term: "a word", rule_link: "a link", rule_young_account: "a new account",
    reportedBy: "Reports: {count} · {reasons}", report: "Report", reportReason: "What is wrong with it?", didReport: "Thank you: moderators will look at it",
    report_spam: "Advertising", report_abuse: "Insults", report_sexual: "Sexual content", report_other: "Something else",
    denied: "Not approved", preview: "Only moderators see this yet",
    moderator: "Moderator", viewer: "Viewer", namesHelp: "Arrow keys choose a name, Enter opens its card.",
    follow: "Follow", unfollow: "Unfollow", deleteComment: "Delete comment", deleteLast: "Delete last 50", kick: "Kick",
    nameModerator: "Make moderator", dismissModerator: "Dismiss moderator", holds: "What holds", sanctions: "Mute or ban",
    term: "For how long", reason: "Reason (they see it)", purge: "A ban deletes", purge_recent: "Last 10 minutes", purge_none: "No comments", purge_live: "All of this live",
    mute: "Mute", ban: "Ban", shadow: "Shadow", "term_10": "10 seconds", "term_60": "1 minute", "term_300": "5 minutes", "term_600": "10 minutes",
    "term_1800": "30 minutes", "term_86400": "24 hours", "term_0": "This live", "term_-1": "For ever",
    holds_mute: "Muted", holds_ban: "Banned", holds_shadow: "Shadowed", lift_mute: "Unmute", lift_ban: "Unban", lift_shadow: "Unshadow",
    did_mute: "{name} is muted", did_ban: "{name} is banned", did_shadow: "{name} is shadowed", didKick: "{name} was removed",
    didLift_mute: "{name} may speak again", didLift_ban: "{name} may come back", didLift_shadow: "{name} is shown to all again",
    didDelete: "The comment was deleted", didDeleteLast: "Comments of {name} were deleted", didName: "{name} is a moderator", didDismiss: "{name} is no longer a moderator",
    unknownRoom: "There is no such room",
    connecting: "Connecting", open: "Connected", waiting: "Reconnecting", stopped: "Disconnected", reconnect: "Reconnect",
    waitingFor: "Reconnecting in {seconds} s",
    sending: "Sending", delivered: "Delivered", sampled_out: "Not shown to all: the room is busy", held: "Held for review", failed: "Not sent", retry: "Retry",
    entered: "{name} came in", enteredMany: "{name} and {count} more came in",
    gave: "sent", gapNotice: "Some messages were missed while you were away", rate: "showing {shown} of {total}/s",
    streamer: "Streamer", you: "you", more: "and {count} more",
    giftUnknown: "The connection broke before the answer: the gift is sent again under the same number, so it counts once.",
    coinsShort: "Not enough coins",
    wait: "try again in {seconds} s", loggedOut: "You were logged out",
    welcome: "Welcome, {name}", created: "Your account is ready", networkError: "The server cannot be reached", comboBy: "sent {gift}",
    code_unauthorized: "Please log in first", code_token_invalid: "Please log in again", code_token_expired: "Your login has expired",
    code_user_disabled: "This account does not exist or is disabled", code_live_not_found: "There is no such room",
    code_live_not_started: "The broadcast has not started", code_live_ended: "The broadcast has ended",
    code_gift_not_found: "This gift is no longer available", code_coins_insufficient: "Not enough coins",
    code_not_in_room: "Join the room first", code_rate_limited: "That was too fast", code_muted: "You are muted", code_kicked: "You were removed a moment ago",
    code_already_reviewed: "Somebody has decided already", code_reports_full: "There are too many reports, try again later",
    code_not_allowed: "You may not do that", code_already_banned: "They are banned already", code_moderation_full: "The list is full",
    code_comment_not_found: "There is no such comment", code_user_not_found: "There is no such user", code_comment_filtered: "The comment has words that are not allowed here",
    code_slow_mode: "Slow mode", code_followers_only: "Only followers speak now", code_gifters_only: "Only those who gave a gift speak now",
    code_frozen: "Only the streamer and moderators speak now", code_gifts_paused: "Gifts are paused", code_comment_duplicate: "That was said just now",
    code_banned: "You are banned from this room", code_comment_too_long: "The comment is too long",
    code_comment_refused: "The comment was refused", code_duplicate_conflict: "This was already sent with other content",
    code_busy: "The room is busy", code_bad_request: "The server did not understand that", code_expired: "It could not be sent in time",
    code_outbox_full: "Too much is waiting to be sent",
    gift_小花: "Rose", gift_爱心: "Heart", gift_星星: "Star", gift_钻石: "Diamond", gift_皇冠: "Crown", gift_火箭: "Rocket",
    "text_您没有权限访问该接口": "Please log in first", "text_Token 令牌不合法!": "Please log in again",
    "text_token 已过期! 请重新获取令牌": "Your login has expired", "text_用户不存在": "This account does not exist",
    "text_你已被禁用": "This account is disabled", "text_你的账号在其他设备登录": "You logged in on another device",
    "text_用户名不能为空": "Enter a username", "text_密码不能为空": "Enter a password",
    "text_用户名 的长度 必须 在 5 和 20 之间": "A username has 5 to 20 characters", "text_用户名 不能包含看不见的字符": "A username has visible characters only", "text_密码和确认密码不一致": "The passwords differ",
    "text_密码 不能 少于 6 个字符": "A password has at least 6 characters", "text_密码 不能 超过 128 字节": "A password has at most 128 bytes",
    "text_该用户名已存在": "This username is taken", "text_该用户不存在": "There is no such user", "text_密码错误": "Wrong password",
    "text_登录过于频繁，请稍后再试": "Too many logins", "text_系统繁忙，请稍后再试": "The server is busy",
    "text_服务器内部错误": "The server met a fault",
    "text_没有权限": "You may not do that", "text_不能关注自己": "You cannot follow yourself", "text_关注的人数已达上限": "You follow too many already",
    "text_直播间标题不能为空": "Enter a title", "text_直播间封面不能为空": "Choose a cover",
    "text_该直播间不存在": "There is no such room", "text_该直播间已结束": "The broadcast has ended",
  },
  zh: {
    skip: "跳到正文", rooms: "全部直播间", pages: "分页", otherLanguage: "EN", switchLanguage: "Switch to English",
    login: "登录", logout: "退出登录", register: "注册", balance: "我的金币",
    heroTitle: "此刻，正在直播", heroText: "进入直播间，发一条弹幕，送一份礼物。每个人看到的顺序都一样。",
    createLive: "我要开播", create: "创建直播间", liveTitle: "标题", cover: "封面", noLives: "还没有直播间，来做第一个主播吧。",
    previous: "上一页", next: "下一页", page: "第 {page} 页", back: "返回全部直播间",
    online: "在线", views: "观看人数", liveCoins: "收到的金币", controls: "主播控制台",
    start: "开播", resume: "继续", pause: "暂停", end: "结束", pushAddress: "推流地址", danmaku: "弹幕",
    gifts: "礼物", giftCount: "数量", chat: "聊天", newMessages: "有新消息", commentLabel: "你的评论",
    commentPlaceholder: "说点什么…", send: "发送", close: "关闭", cancel: "取消", copy: "复制", copied: "已复制",
    username: "用户名", password: "密码", repassword: "确认密码",
    loginTitle: "欢迎回来", registerTitle: "创建账号", toRegister: "还没有账号？立即注册", toLogin: "已有账号？去登录",
    pushHelp: "把推流软件指向你的媒体服务器，使用这个路径。签名会过期。",
    pushSecret: "请勿外传：拿到这个地址的人可以用你的身份推流。",
    endTitle: "结束这场直播？", endText: "结束后不能再次开播。",
    status0: "未开播", status1: "直播中", status2: "已暂停", status3: "已结束",
    notice0: "直播还没有开始", notice0Text: "开播后会自动进入。", notice0Owner: "准备好了就点“开播”。",
    notice2: "主播暂时离开", notice2Text: "马上回来。",
    notice3: "直播已结束", notice3Text: "{views} 人看过 · {coins} 金币",
    kicked: "你已被移出直播间", kickedText: "{time} 后可以回来。", kickedOver: "现在可以回来了。", comeBack: "回到直播间",
    bannedTitle: "你已被封禁，无法进入直播间", forEver: "永久", until: "至 {time}", untilLiveEnds: "至本场直播结束",
    muted: "你已被禁言", mutedFor: "你已被禁言，剩余 {time}", frozen: "主播已开启全员禁言", frozenFor: "主播已开启全员禁言",
    followers_only: "关注主播后才能发言", followers_onlyFor: "仅限粉丝发言：{time} 后可以发言",
    gifters_only: "送礼后才能发言", gifters_onlyFor: "送礼后才能发言",
    slow_mode: "慢速模式", slow_modeFor: "慢速模式：{time} 后可以再次发言",
    modes: "房间模式", off: "关闭", anyFollower: "所有粉丝", coins: "{count} 金币",
    set_shield: "护盾模式", shieldHelp: "应对捣乱：慢速、仅粉丝发言，链接和新账号的评论先审核。",
    set_frozen: "全员禁言（房管除外）", set_gifts_paused: "暂停礼物", set_slow_s: "慢速模式", set_followers_min: "仅粉丝发言",
    set_gifters_coins: "送礼后发言", set_unique_s: "禁止重复", set_mod_delay_s: "房管先看",
    shown_shield: "护盾", shown_frozen: "全员禁言", shown_gifts_paused: "礼物已暂停", shown_slow_s: "慢速：{words}",
    shown_followers_min: "仅粉丝：{words}", shown_gifters_coins: "需送礼：{words}", shown_unique_s: "禁止重复：{words}", shown_mod_delay_s: "延迟：{words}",
    span_s: "{n} 秒", span_min: "{n} 分钟", span_h: "{n} 小时", span_d: "{n} 天",
    pinned: "置顶评论", unpin: "取消置顶", pinComment: "置顶评论", didPin: "评论已置顶",
    review: "审核", reviewEmpty: "没有待审核的内容。", approve: "通过", deny: "拒绝", dismissReports: "忽略",
    heldBy: "待审核：{rule}", rule_term: "含敏感词", rule_link: "含链接", rule_young_account: "新账号",
    reportedBy: "举报 {count} 次 · {reasons}", report: "举报", reportReason: "有什么问题？", didReport: "谢谢，房管会处理",
    report_spam: "广告", report_abuse: "辱骂", report_sexual: "色情内容", report_other: "其他",
    denied: "未通过审核", preview: "目前只有房管可见",
    moderator: "房管", viewer: "观众", namesHelp: "用方向键选择名字，按回车打开名片。",
    follow: "关注", unfollow: "取消关注", deleteComment: "删除评论", deleteLast: "删除最近 50 条", kick: "踢出",
    nameModerator: "设为房管", dismissModerator: "撤销房管", holds: "生效中的处罚", sanctions: "禁言或封禁",
    term: "时长", reason: "原因（对方可见）", purge: "封禁时删除", purge_recent: "最近 10 分钟", purge_none: "不删除评论", purge_live: "本场全部",
    mute: "禁言", ban: "封禁", shadow: "隐身", "term_10": "10 秒", "term_60": "1 分钟", "term_300": "5 分钟", "term_600": "10 分钟",
    "term_1800": "30 分钟", "term_86400": "24 小时", "term_0": "本场直播", "term_-1": "永久",
    holds_mute: "已禁言", holds_ban: "已封禁", holds_shadow: "已隐身", lift_mute: "解除禁言", lift_ban: "解除封禁", lift_shadow: "解除隐身",
    did_mute: "已禁言 {name}", did_ban: "已封禁 {name}", did_shadow: "已隐身 {name}", didKick: "已踢出 {name}",
    didLift_mute: "{name} 可以发言了", didLift_ban: "{name} 可以回来了", didLift_shadow: "{name} 的评论恢复可见",
    didDelete: "评论已删除", didDeleteLast: "已删除 {name} 的评论", didName: "{name} 已成为房管", didDismiss: "{name} 不再是房管",
    unknownRoom: "直播间不存在",
    connecting: "连接中", open: "已连接", waiting: "重连中", stopped: "已断开", reconnect: "重新连接",
    waitingFor: "{seconds} 秒后重连",
    sending: "发送中", delivered: "已送达", sampled_out: "房间太热闹，未向所有人显示", held: "等待审核", failed: "未发送", retry: "重试",
    entered: "{name} 来了", enteredMany: "{name} 等 {count} 人来了",
    gave: "送出", gapNotice: "离开期间错过了一些消息", rate: "每秒 {total} 条，显示 {shown} 条",
    streamer: "主播", you: "我", more: "还有 {count} 人",
    giftUnknown: "连接在应答前断开：礼物会用同一编号重发，只会计算一次。",
    coinsShort: "金币不足，请先充值",
    wait: "{seconds} 秒后再试", loggedOut: "你已退出登录",
    welcome: "欢迎你，{name}", created: "注册成功", networkError: "无法连接服务器", comboBy: "送出 {gift}",
    code_rate_limited: "操作太频繁", code_busy: "直播间繁忙", code_expired: "未能及时发送", code_outbox_full: "待发送的内容太多",
  },
};

const STORAGE_KEY = "liveroom.language";
const listeners = new Set();
let language = localStorage.getItem(STORAGE_KEY) ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!Object.hasOwn(DICTIONARY, language)) language = "en";

export const currentLanguage = () => language;
export const onLanguageChange = (listener) => listeners.add(listener);

/** The words for `key`, with `{name}` replaced from `values`. */
export function t(key, values = {}) {
  const words = DICTIONARY[language][key] ?? key;
  return words.replace(/\{(\w+)\}/g, (whole, name) => String(values[name] ?? whole));
}

/** Words for a refused command or a failed request: `{code?, message?}`. */
export function refusalText({ code, message }) {
  const words = DICTIONARY[language];
  if (language === "zh") return words[`code_${code}`] ?? (message || t("networkError"));
  return words[`code_${code}`] ?? words[`text_${message}`] ?? (message || t("networkError"));
}

/** Names of the demo's gifts are Chinese in the catalogue; others are shown as they are. */
export const giftName = (name) => DICTIONARY[language][`gift_${name}`] ?? name;

const compact = () => new Intl.NumberFormat(language, { notation: "compact", maximumFractionDigits: 1 });
export const formatCount = (value) => (value < 10_000 ? String(value) : compact().format(value));

/** When something ends: `at` in milliseconds since 1970, null for never. */
export function untilText(at) {
  if (at === null || at === undefined) return t("forEver");
  const time = new Intl.DateTimeFormat(language, { dateStyle: "medium", timeStyle: "short" }).format(at);
  return t("until", { time });
}

/** A span of time in the largest unit that divides it. */
export function spanText(seconds) {
  const [unit, length] = [["d", 86_400], ["h", 3_600], ["min", 60]].find(([, length]) => seconds % length === 0) ?? ["s", 1];
  return t(`span_${unit}`, { n: seconds / length });
}

/** A rest of time to count down: `1:05`, `2:00:00`. */
export function durationText(ms) {
  const seconds = Math.max(0, Math.ceil(ms / 1000));
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60];
  return hours > 0 ? `${hours}:${two(minutes)}:${two(seconds % 60)}` : `${minutes}:${two(seconds % 60)}`;
}

/** Fills every element that names its words by a `data-i18n…` attribute. */
export function translatePage() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const node of document.querySelectorAll("[data-i18n]")) node.textContent = t(node.dataset.i18n);
  for (const node of document.querySelectorAll("[data-i18n-label]")) node.setAttribute("aria-label", t(node.dataset.i18nLabel));
  for (const node of document.querySelectorAll("[data-i18n-title]")) node.title = t(node.dataset.i18nTitle);
  for (const node of document.querySelectorAll("[data-i18n-placeholder]")) node.placeholder = t(node.dataset.i18nPlaceholder);
  for (const listener of listeners) listener();
}

export function toggleLanguage() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(STORAGE_KEY, language);
  translatePage();
}
