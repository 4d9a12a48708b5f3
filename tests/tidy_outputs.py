"Make the outputs saved in notebooks fit to be kept: no warnings, no paths of one machine, pictures of a reader's size (`make outputs`)"
import base64,io,json,re,sys
from pathlib import Path

from PIL import Image,ImageChops

def small_png(
    data, # PNG as base64
    width=900, # px, of a figure over a page; one over a column has `narrow`
    narrow=600,
    colours=96,
):
    "The same picture with fewer colours, and with fewer pixels where that makes it smaller: pixels drawn as squares are small as they are"
    im = Image.open(io.BytesIO(base64.b64decode(data)))
    if im.mode=='P': return data # done before
    im = im.convert('RGB')
    w = width if im.width>1300 else narrow
    sizes = [im.size] + [(w, round(im.height*w/im.width))]*(im.width>w)
    return min((_png(im.resize(o, Image.Resampling.LANCZOS) if o!=im.size else im, colours) for o in sizes), key=len)

def _png(im, colours):
    "`im` as base64, with the palette that is wrong by least"
    kinds = dict(method=Image.Quantize.FASTOCTREE),dict(method=Image.Quantize.MEDIANCUT, kmeans=2)
    im = min((im.quantize(colours, dither=Image.Dither.NONE, **o) for o in kinds), key=lambda o: _wrong(im, o))
    colour = zip(*[iter(im.getpalette())]*3)
    im.putpalette([v for rgb in colour for v in ((255,255,255) if min(rgb)>240 else rgb)]) # paper is white
    out = io.BytesIO()
    im.save(out, 'PNG', optimize=True)
    return base64.b64encode(out.getvalue()).decode()

def _wrong(im, o):
    "How much `o` differs from `im`; few pixels of quite another colour, as in a colour bar, are worse than many that differ a little"
    n = ImageChops.difference(im, o.convert('RGB')).histogram()
    return sum(k*(i%256)**4 for i,k in enumerate(n))

def plain(text): return re.sub(r'/tmp/tmp\w+', '/tmp/galaxies', text)

def tidy(nb):
    "`nb` without what changes from run to run"
    for c in nb['cells']:
        if 'outputs' not in c: continue
        c['outputs'] = [o for o in c['outputs'] if o.get('name')!='stderr']
        for o in c['outputs']:
            if 'text' in o: o['text'] = [plain(l) for l in o['text'] if '\r' not in l] # a progress bar
            d = o.get('data', {})
            for k,v in d.items():
                if k=='image/png' and len(v)>20_000: d[k] = small_png(''.join(v))
                elif k.startswith('text/'): d[k] = [plain(l) for l in ([v] if isinstance(v, str) else v)]
        c['outputs'] = [o for o in c['outputs'] if o.get('text')!=[]]
    return nb

def check(nb):
    "What in the outputs of `nb` should not be there"
    text = json.dumps([{k: v for k,v in o.get('data', {}).items() if not k.startswith('image')} | {'text': o.get('text', [])} for c in nb['cells'] for o in c.get('outputs', [])])
    return [o for o in (r'Traceback', r'Warning', r'/home/', r'/root/', r'site-packages', r'0x[0-9a-f]{6,}', r' s left', r'\\r') if re.search(o, text)]

if __name__=='__main__':
    for p in sorted((Path(__file__).parent.parent/'nbs').rglob('*.ipynb')):
        old = p.read_text()
        new = json.dumps(tidy(json.loads(old)), indent=1, ensure_ascii=False, sort_keys=True)+'\n'
        if new!=old: p.write_text(new)
        if bad := check(json.loads(new)): sys.exit(f"{p.name}: its outputs hold {', '.join(bad)}")
