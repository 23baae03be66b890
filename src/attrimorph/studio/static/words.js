// Every word of the page, in English and Chinese, and plain words for the attributes of CelebA and of drawn faces.

const WORDS = {
  studio: ["studio", "工作室"],
  tabs: ["What to do", "功能"],
  edit: ["Edit", "编辑"],
  faces: ["Random faces", "随机人脸"],
  morph: ["Morph", "渐变"],
  fill: ["Fill in", "修补"],
  teach: ["Teach", "教学"],
  folder: ["Folder", "文件夹"],
  backdrop: ["Background", "背景"],
  training: ["Training", "训练"],
  pictureTools: ["Picture", "图片"],
  open: ["Open a photograph", "打开照片"],
  camera: ["Camera", "相机"],
  sampleFace: ["Sample face", "示例人脸"],
  takePhoto: ["Take the photograph", "拍照"],
  cancel: ["Cancel", "取消"],
  undo: ["Undo", "撤销"],
  redo: ["Redo", "重做"],
  save: ["Save", "保存"],
  saveAll: ["Save all", "全部保存"],
  saves: ["Saves the picture of: {0}", "保存以下模型的图片:{0}"],
  nothingOpen: [
    "Open a photograph to begin: {0} changes photographs and makes no faces of its own.",
    "请先打开一张照片:{0} 只修改照片,不会自己生成人脸。",
  ],
  searching: ["{0} looks for this face; that takes some seconds …", "{0} 正在寻找这张脸,需要几秒钟……"],
  gone: ["This picture is no longer kept. Open it again.", "这张图片已不再保存,请重新打开。"],
  by: ["With the model {0}", "使用模型 {0}"],
  before: ["Hold to see before", "按住看原图"],
  beforeHelp: ["Or press on the photograph, or hold the key O", "也可以按住照片,或按住 O 键"],
  beforeWord: ["before", "原图"],
  split: ["Split view", "左右对比"],
  divide: ["Where the picture is split", "对比分界线"],
  models: ["Models side by side", "并排比较模型"],
  history: ["History", "历史"],
  sliders: ["Sliders", "滑块"],
  search: ["Search the sliders", "搜索滑块"],
  resetAll: ["Reset all", "全部复位"],
  light: ["Light", "浅色"],
  dark: ["Dark", "深色"],
  auto: ["Auto", "自动"],
  theme: ["Colours", "配色"],
  lock: ["Lock {0}", "锁定{0}"],
  lockHelp: ["{0} stays as it is while other sliders move", "移动其他滑块时,{0}保持不变"],
  besidesLock: ["{0} becomes {1} points of 100 more or less likely, though nobody asked for it. Click to keep it as it was.", "{0}的可能性变化了 {1} 个百分点,虽然没有要求。点击可保持原样。"],
  besidesHelp: ["{0} becomes {1} points of 100 more or less likely, though nobody asked for it.", "{0}的可能性变化了 {1} 个百分点,虽然没有要求。"],
  noSliders: [
    "{0} has no sliders yet. Teach it one in the tab Teach, or run: attrimorph axes fit {0}, and start the studio again.",
    "{0} 还没有滑块。可在“教学”页教它一个,或运行 attrimorph axes fit {0} 后重新启动工作室。",
  ],
  noLocks: ["{0} has no locks: it changes what its slider says as a whole.", "{0} 没有锁:它只会整体改变滑块所指的特征。"],
  nobodyLooks: ["No attribute classifier (judge) watches this model: what an edit changes besides is not told.", "没有属性分类器(judge)检查此模型:附带的变化不会提示。"],
  ownJudge: ["The classifier that this model was trained with looks for what changes besides; it is easily pleased and may miss some.", "附带变化由与此模型一同训练的分类器检查,可能会有遗漏。"],
  spread: ["1 σ is the usual spread of this value among the training images", "1 σ 是该数值在训练图片中的通常离散程度"],
  less: ["Less: {0}", "减少:{0}"],
  more: ["More: {0}", "增加:{0}"],
  besides: ["Also changes:", "同时改变:"],
  lockIt: ["Lock {0}, {1}", "锁定{0},{1}"],
  already: ["The face is like this already: nothing more happens on this side", "这张脸已经如此:这一侧不会再有变化"],
  taught: ["Taught by you", "你教的"],
  other: ["Other", "其他"],
  drawn: [
    "This model was trained on synthetic faces (drawn faces): what it paints looks drawn, also in a photograph.",
    "此模型用合成人脸(绘制的脸)训练:它画出的内容像画,照片中也是如此。",
  ],
  privacy: ["Photographs stay in this machine's memory.", "照片只留在本机内存中。"],
  labelled: ["Saved pictures say that they were edited.", "保存的图片会注明经过编辑。"],
  signed: ["Saved pictures say that they were edited, signed.", "保存的图片会注明经过编辑,并带有签名。"],
  yours: ["What the model was shown: the photograph, cut out and scaled", "模型看到的内容:裁剪并缩放后的照片"],
  edited: ["Picture by {0}", "{0} 的图片"],
  photograph: ["photograph", "照片"],
  step: ["Step {0}: {1}", "第{0}步:{1}"],
  start: ["start", "开始"],
  locked: ["{0} locked", "已锁定{0}"],
  unlocked: ["{0} unlocked", "已解锁{0}"],
  saved: [
    "Saved: {0}. How it was made is inside, as metadata (receipt): attrimorph replay FILE makes it again.",
    "已保存:{0}。制作方法作为元数据(凭据)写在其中:attrimorph replay 文件 可重新生成。",
  ],
  savedWhole: ["Saved: {0}. The whole photograph, as large as it was.", "已保存:{0}。整张照片,保持原有大小。"],
  savedAll: ["{0} files, one by each of {1}", "{0} 个文件,分别由 {1} 生成"],
  taken: ["Opened with {0}, which fits such pictures; choose others below.", "已用适合此类图片的 {0} 打开;可在下方更换。"],
  example: ["example photograph", "示例照片"],
  opened: ["Opened.", "已打开。"],
  working: ["Working …", "处理中……"],
  offline: ["The studio does not answer. Is it still running? Trying again …", "工作室没有响应。它还在运行吗?正在重试……"],
  strange: [
    "The studio was started again. Open the address that it printed.",
    "工作室已重新启动。请打开它打印出的地址。",
  ],
  crowded: ["Too many pages are open in this studio.", "打开的页面太多了。"],
  noCamera: ["There is no camera, or it may not be used.", "没有相机,或无权使用。"],
  noPicture: ["That was no picture. Drop a JPEG, PNG or WebP file.", "那不是图片。请拖入 JPEG、PNG 或 WebP 文件。"],
  drop: ["Drop a photograph anywhere, or paste one.", "可将照片拖到任意处,或直接粘贴。"],
  current: ["The edited picture", "正在编辑的图片"],
  another: ["Another sample", "换一个示例"],
  choose: ["Open …", "打开……"],
  newFaces: ["New faces", "新的人脸"],
  all: ["All faces", "所有人脸"],
  heldHelp: ["Choose what all of them should have, or not have. Click a face to edit it.", "选择它们共有或没有的特征。点一张脸来编辑。"],
  any: ["any", "任意"],
  with: ["with", "有"],
  without: ["without", "没有"],
  face: ["Face {0}", "人脸 {0}"],
  first: ["From", "从"],
  second: ["To", "到"],
  makeMorph: ["Make the morph", "生成渐变"],
  along: ["Along the way", "渐变位置"],
  exportGif: ["Export as GIF", "导出 GIF"],
  exportMp4: ["Export as MP4", "导出 MP4"],
  brush: ["Brush", "画笔"],
  brushHelp: [
    "Paint over what shall be made anew. With the keyboard: arrow keys move, Space paints.",
    "涂抹要重绘的部分。键盘:方向键移动,空格涂抹。",
  ],
  canvas: ["Picture to paint on", "可涂抹的图片"],
  clear: ["Clear", "清除"],
  fillIt: ["Fill in", "修补"],
  result: ["Result", "结果"],
  keep: ["Edit the result", "编辑结果"],
  teachHelp: [
    "Name something, then click faces: once if they have it, twice if they have it not. Ten of each do well, four at least.",
    "取个名字,然后点人脸:点一次表示有,点两次表示没有。各十张较好,至少各四张。",
  ],
  teachNoName: ["Give the new slider a name first.", "请先给新滑块取个名字。"],
  teachFew: ["It needs at least 4 faces of each kind; there are {0} with it and {1} without.", "两种人脸各至少 4 张;现在有 {0} 张有,{1} 张没有。"],
  teachName: ["Name of the new slider", "新滑块的名称"],
  teachIt: ["Teach", "教学"],
  marked: ["{0} with, {1} without", "{0} 张有,{1} 张没有"],
  moreFaces: ["More faces", "更多人脸"],
  folderHelp: [
    "Choose a folder of pictures. Nothing of it is written or kept longer than this studio runs.",
    "选择一个图片文件夹。不会写入任何内容,工作室关闭后即忘记。",
  ],
  chooseFolder: ["Choose a folder", "选择文件夹"],
  read: ["{0} of {1} pictures read", "已读取 {0} / {1} 张"],
  findHelp: ["Find the pictures most like this face", "查找与这张脸最像的图片"],
  wanted: ["that are …", "要求……"],
  findThem: ["Find", "查找"],
  batchHelp: ["Or put the sliders of the Edit tab on all of them", "或将“编辑”页的滑块应用到全部图片"],
  batchIt: ["Edit all, as ZIP", "全部编辑并导出 ZIP"],
  nothingMoved: ["Move a slider in the Edit tab first.", "请先在“编辑”页移动滑块。"],
  done: ["{0} of {1} done", "完成 {0} / {1}"],
  face_: ["Face", "人脸"],
  behind: ["Background of", "背景来自"],
  runsHere: ["Trainings on this machine", "本机上的训练"],
  noRuns: ["None yet.", "还没有。"],
  runs: ["runs", "进行中"],
  stopped: ["stopped", "已停止"],
  finished: ["done", "已完成"],
  left: ["{0} left", "剩余 {0}"],
  ofImages: ["{0} of {1} images", "{0} / {1} 张图"],
  stop: ["Stop", "停止"],
  resume: ["Go on", "继续"],
  look: ["Curves and samples", "曲线与样例"],
  lookAt: ["Curves and samples of {0}", "{0} 的曲线与样例"],
  sheet: ["Samples", "样例"],
  sheetAt: ["Samples after {0} images", "{0} 张图后的样例"],
  curve: ["{0}: {1} after {2} images", "{0}:{2} 张图后为 {1}"],
  startNew: ["Start a training", "开始训练"],
  recipe: ["Recipe", "配方"],
  runName: ["Name", "名称"],
  imagesSeen: ["How many images to train on (empty: as the recipe says)", "训练图片数(留空则按配方)"],
  dataFolder: ["Folder of labelled images on this machine (empty: synthetic faces)", "本机上带标签的图片文件夹(留空则使用合成人脸)"],
  startIt: ["Start", "开始"],
  begun: ["Started.", "已开始。"],
  compose: ["Put together", "合成"],
};

const GROUPS = [
  ["expression", "Expression", "表情", "Smiling Mouth_Slightly_Open Narrow_Eyes"],
  ["hair", "Hair", "头发", "Black_Hair Blond_Hair Brown_Hair Gray_Hair Bald Bangs Receding_Hairline Straight_Hair Wavy_Hair"],
  ["beard", "Beard", "胡须", "No_Beard Goatee Mustache Sideburns 5_o_Clock_Shadow"],
  ["brows", "Eyes and brows", "眼睛与眉毛", "Arched_Eyebrows Bushy_Eyebrows Bags_Under_Eyes"],
  ["shape", "Shape of the face", "脸型", "Big_Lips Big_Nose Pointy_Nose High_Cheekbones Oval_Face Chubby Double_Chin"],
  ["skin", "Skin and make-up", "皮肤与妆容", "Pale_Skin Rosy_Cheeks Heavy_Makeup Wearing_Lipstick Attractive Blurry"],
  ["person", "Person", "人物", "Young Male"],
  ["worn", "What is worn", "佩戴", "Eyeglasses Wearing_Hat Wearing_Earrings Wearing_Necklace Wearing_Necktie"],
];

// What models of their own call their groups.
const OWN_GROUPS = {
  expression: ["Expression", "表情"],
  "gender and beard": ["Gender and beard", "性别与胡须"],
  "hair colour": ["Hair colour", "发色"],
  hairline: ["Hairline", "发际线"],
  age: ["Age", "年龄"],
  eyes: ["Eyes", "眼睛"],
  features: ["Features", "五官"],
  "hair texture": ["Hair texture", "发质"],
  look: ["Skin and make-up", "肤色与妆容"],
};

const PLAIN = {
  Smiling: ["Smile", "微笑"],
  Mouth_Slightly_Open: ["Open mouth", "张嘴"],
  Narrow_Eyes: ["Narrow eyes", "眯眼"],
  Black_Hair: ["Black hair", "黑发"],
  Blond_Hair: ["Blond hair", "金发"],
  Brown_Hair: ["Brown hair", "棕发"],
  Gray_Hair: ["Grey hair", "灰发"],
  Bald: ["Bald", "秃头"],
  Bangs: ["Fringe", "刘海"],
  Receding_Hairline: ["Receding hairline", "发际线后移"],
  Straight_Hair: ["Straight hair", "直发"],
  Wavy_Hair: ["Wavy hair", "卷发"],
  No_Beard: ["Clean-shaven", "无胡须"],
  Goatee: ["Goatee", "山羊胡"],
  Mustache: ["Moustache", "小胡子"],
  Sideburns: ["Sideburns", "鬓角"],
  "5_o_Clock_Shadow": ["Stubble", "胡茬"],
  Arched_Eyebrows: ["Arched eyebrows", "弯眉"],
  Bushy_Eyebrows: ["Bushy eyebrows", "浓眉"],
  Bags_Under_Eyes: ["Bags under the eyes", "眼袋"],
  Big_Lips: ["Full lips", "厚唇"],
  Big_Nose: ["Big nose", "大鼻子"],
  Pointy_Nose: ["Pointy nose", "尖鼻子"],
  High_Cheekbones: ["High cheekbones", "高颧骨"],
  Oval_Face: ["Oval face", "鹅蛋脸"],
  Chubby: ["Chubby", "圆胖"],
  Double_Chin: ["Double chin", "双下巴"],
  Pale_Skin: ["Pale skin", "肤色苍白"],
  Rosy_Cheeks: ["Rosy cheeks", "红润脸颊"],
  Heavy_Makeup: ["Make-up", "浓妆"],
  Wearing_Lipstick: ["Lipstick", "口红"],
  Attractive: ["Attractive (as labelled)", "有魅力(标注者看法)"],
  Blurry: ["Blurry", "模糊"],
  Young: ["Young", "年轻"],
  Male: ["Male", "男性"],
  Eyeglasses: ["Glasses", "眼镜"],
  Wearing_Hat: ["Hat", "帽子"],
  Wearing_Earrings: ["Earrings", "耳环"],
  Wearing_Necklace: ["Necklace", "项链"],
  Wearing_Necktie: ["Tie", "领带"],
};

export const LANGUAGES = ["en", "zh"];
let language = 0;

export function speak(code) {
  language = Math.max(0, LANGUAGES.indexOf(code));
  document.documentElement.lang = LANGUAGES[language] === "zh" ? "zh-Hans" : "en";
}

export function spoken() {
  return LANGUAGES[language];
}

/** The word of that name, {0}, {1}, ... replaced. */
export function t(name, ...values) {
  const entry = WORDS[name];
  if (!entry) throw new Error(`no word ${name}`);
  return entry[language].replace(/\{(\d)\}/g, (_, place) => values[place]);
}

/** An attribute in plain words: "Smiling" -> "Smile", "person=Ada" -> "person: Ada". */
export function plain(name) {
  if (PLAIN[name]) return PLAIN[name][language];
  return name.replace("=", ": ").replaceAll("_", " ");
}

function groupName(id) {
  const words = OWN_GROUPS[id]?.[language] ?? plain(id);
  return words[0].toUpperCase() + words.slice(1);
}

/** Names of sliders in groups: [{id, title, names}]: the model's own, then those in which a person looks for them. */
export function grouped(sliders) {
  const left = new Set();
  const own = new Map();
  for (const { name, kind, group } of sliders) {
    const home = group ?? (kind === "categorical" ? name.split("=")[0] : name);
    if (home === name) left.add(name);
    else own.set(home, [...(own.get(home) ?? []), name]);
  }
  const found = [...own].map(([id, names]) => ({ id, title: groupName(id), names }));
  for (const [id, english, chinese, members] of GROUPS) {
    const here = members.split(" ").filter((name) => left.delete(name));
    if (here.length) found.push({ id, title: [english, chinese][language], names: here });
  }
  if (left.size) found.push({ id: "other", title: t("other"), names: [...left] });
  return found;
}

/** Put the words of the current language into everything below `root` that names one. */
export function translate(root = document) {
  for (const element of root.querySelectorAll("[data-word]")) element.textContent = t(element.dataset.word);
  for (const element of root.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of root.querySelectorAll("[data-hint]")) element.placeholder = t(element.dataset.hint);
}
