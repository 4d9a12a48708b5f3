"The parts of gpu.py: each is told what to do in `o`, and gives what it finds to `save` as it comes"
import os,types
from concurrent.futures import ThreadPoolExecutor

from common import *
from memory import Peak

from galfast.images.augment import as_float
from galfast.training.fast import describe_math,lean_mish
from galfast.training.gp import fit_photometry_gp
from galfast.networks.xresnets import galaxy_xresnet
from galfast.images.photometry import Photometry

root = Path(__file__).resolve().parent.parent

def draw_cutouts(n, px, device, seed):
    "Discs with a bulge and arms, uint8 (n, px, px, 3), and a label that colour, size and concentration tell"
    g = torch.Generator().manual_seed(seed)
    u = torch.rand(n, 10, generator=g)
    noise = torch.randn(n, generator=g)
    def col(i, lo, hi): return (lo+(hi-lo)*u[:,i]).to(device)[:,None,None]
    r,q,pa,turn,conc,red,peak = col(0,.06,.16)*px,col(1,.35,1),col(2,0,math.pi),col(3,0,6.3),col(4,.1,.9),col(5,.3,1.),col(6,.4,1.)
    y,x = torch.meshgrid(*[torch.arange(px, device=device)-(px-1)/2]*2, indexing='ij')
    a,b = x*pa.cos()+y*pa.sin(),(y*pa.cos()-x*pa.sin())/q
    rho,theta = (a*a+b*b).sqrt()/r,torch.atan2(b, a)
    disc = torch.exp(-rho)*(1+.5*torch.cos(2*theta-5*(rho+.1).log()+turn)*(rho>.5))
    bulge = torch.exp(-4*rho)
    light = torch.stack([peak*(disc*(1-conc)*w+bulge*conc) for w in (1., 1.1-.3*red, 1.2-.9*red)], -1)
    light = torch.asinh(8*light)/3+.03+.02*torch.randn(n, px, px, 3, generator=torch.Generator(device).manual_seed(seed), device=device)
    label = 8.3+.5*(red+.1*conc)[:,0,0]+.3*(r/px)[:,0,0]/.16
    return (light.clamp(0, 1)*255).byte().cpu().numpy(),(label.cpu()+.03*noise).numpy()

def cutouts(o, save):
    "JPEGs and their catalogue, as many as fit the time"
    folder,labels,t0 = Path(o['data'])/'images',[],time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    def write(job): PILimage.fromarray(job[1]).save(folder/f'{job[0]}.jpg', quality=90)
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as ex:
        while len(labels)<o['n'] and (len(labels)<o['bs']*4 or time.monotonic()-t0<o['allowance']):
            x,y = draw_cutouts(min(500, o['n']-len(labels)), o['window'], o['device'], len(labels))
            list(ex.map(write, enumerate(x, len(labels))))
            labels += y.tolist()
    pd.DataFrame(dict(objID=[str(i) for i in range(len(labels))], metallicity=labels)).to_csv(Path(o['data'])/'catalog.csv', index=False)
    save(n=len(labels), asked=o['n'], shrunk=len(labels)<o['n'], px=o['window'], scatter=float(np.std(labels)))

def sky(o, n=None):
    "The first `n` cutouts"
    df = pd.read_csv(Path(o['data'])/'catalog.csv', dtype={'objID': str})[:n or o.get('n_story')]
    return Galaxies(df, o['data'], o['device'], o['window'], o['size'])

def both(o, n=None, **kwargs):
    "Name -> function that makes the learner: the same network, first answers, augmentation, optimizer and schedule"
    s,bs = sky(o, n),o['bs']
    return dict(galfast=lambda: s.galfast_learner(o['arch'], o['sa'], bs, seed=0, **kwargs), plain=lambda: s.plain_learner(o['arch'], o['sa'], bs, scaled=True, workers=o['workers']))

def tests(o, save):
    "The tests that need the device"
    try: import pytest
    except ImportError: save(skipped='pytest is not installed'); return
    class Count:
        def __init__(self): self.found = dict(passed=0, failed=0, skipped=0, names=[])
        def pytest_runtest_logreport(self, report):
            if report.when=='call' or report.outcome!='passed': self.found[report.outcome] += 1
            if report.failed: self.found['names'].append(report.nodeid)
    count,kind = Count(),torch.device(o['device']).type
    files = [root/'tests'/'test_gpu.py', *([root/'tests'/'test_fits.py'] if kind=='cuda' and not o['missing'] else [])]
    code = pytest.main(['-q', '-p', 'no:cacheprovider', '-W', 'ignore', '-k', kind, *map(str, files)], plugins=[count])
    save(exit=int(code), **count.found)

def formats(o, save):
    "Training steps in each number format, on a batch that lies on the device"
    cuda = torch.device(o['device']).type=='cuda'
    for fmt in ('float32', *(['tf32'] if cuda else []), 'bfloat16', *(['float16'] if cuda or o['bs']>16 else [])):
        try: save(**{fmt: time_format(o, fmt, cuda)})
        except Exception as e: save(**{fmt: dict(error=f'{type(e).__name__}: {e}')})
    save(chosen=describe_math(o['device'], side=o['size']))

def time_format(o, fmt, cuda):
    torch.manual_seed(0)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = fmt=='tf32'
    net = galaxy_xresnet(int(o['arch'][7:]), sa=o['sa']).to(o['device'], memory_format=torch.channels_last)
    lean_mish(net)
    x = torch.randn(o['bs'], 3, o['size'], o['size'], device=o['device']).to(memory_format=torch.channels_last)
    y = x.mean((1,2,3))[:,None]*10
    opt = torch.optim.AdamW(net.parameters(), 1e-3)
    scaler = torch.amp.GradScaler(torch.device(o['device']).type, enabled=fmt=='float16')
    dtype,losses = dict(bfloat16=torch.bfloat16, float16=torch.float16).get(fmt),[]
    def step():
        with torch.autocast(x.device.type, dtype, enabled=dtype is not None): out = net(x)
        loss = F.mse_loss(out.float(), y)
        opt.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(opt); scaler.update()
        losses.append(loss.detach())
    if cuda: torch.cuda.reset_peak_memory_stats()
    rate = o['bs']/step_time(step, o)
    return dict(images_per_s=round(rate, 1), loss=float(losses[-1]), **({'peak_MB': torch.cuda.max_memory_allocated()/1e6} if cuda else {}))

def step_time(step, o, most=8.):
    "Median seconds of `step`, after one to warm up; some, within the time"
    step()
    took,t0 = [],time.monotonic()
    while len(took)<o['steps'] and (not took or time.monotonic()-t0<min(most, o['allowance']/8)): took.append(seconds(step, o['device'])[0])
    return float(np.median(took))

def loader(o, save):
    "Seconds a batch of loading with augmentation alone, of the step alone, and of both as in training: who waits"
    for name,make in both(o, min(o['n'], 40*o['bs'])).items():
        learn = make()
        dl = learn.dls.train
        batch = next(iter(dl))
        load = timed(lambda: [None for _ in dl], o)/len(dl) # noqa: B023
        epoch(learn, [batch])
        again = [batch]*min(len(dl), o['steps'])
        step = timed(lambda: epoch(learn, again), o)/len(again) # noqa: B023
        whole = timed(lambda: epoch(learn, dl), o)/len(dl) # noqa: B023
        who = 'the device waits for the loader' if load>1.2*step else 'the loader waits for the device' if step>1.2*load else 'neither waits long'
        save(**{name: dict(load_s=load, step_s=step, both_s=whole, images_per_s=o['bs']/whole, waiting=max(whole-step, 0.)/whole, who=who, batches=len(dl))})

def timed(f, o): return seconds(f, o['device'])[0]

class Loaders(types.SimpleNamespace):
    def __getitem__(self, i): return (self.train,self.valid)[i]

def epoch(learn, batches):
    "Train on `batches`, without validation"
    dls,learn.dls = learn.dls,Loaders(train=batches, valid=[], device=learn.dls.device)
    try:
        with learn.no_bar(), learn.no_logging(): learn.fit(1, 1e-4)
    finally: learn.dls = dls

class KeepEpochs(Callback):
    "Writes what each epoch gave"
    order,rmse = 60,None
    def __init__(self, save, start): self.found,self.rows,self.t,self.start = save,[],time.monotonic(),start
    def after_epoch(self):
        r = self.learn.recorder
        self.rmse = r.values[-1][r.metric_names.index('rmse')-1 if 'rmse' in r.metric_names else -1] # the last of plain fastai's
        self.rows.append(dict(epoch=self.epoch, s=time.monotonic()-self.t, rmse=self.rmse))
        print(f"[{time.monotonic()-self.start:4.0f} s] epoch {self.epoch+1} of {self.n_epoch}: RMSE {self.rmse:.4f}", flush=True)
        self.found(by_epoch=self.rows)

def story(o, save, which):
    "The whole training: from JPEGs to the RMSE of what was held back"
    cuda,t0 = torch.device(o['device']).type=='cuda',time.monotonic()
    set_seed(0)
    peak = Peak(); peak.start()
    learn = both(o)[which]()
    ready = time.monotonic()-t0
    save(ready_s=ready, shrunk=o['shrunk'], augment=describe_augment())
    if cuda: torch.cuda.synchronize(); torch.cuda.reset_peak_memory_stats()
    keep = KeepEpochs(save, o['start'])
    learn.add_cb(keep)
    t = timed(lambda: fit(learn, o['epochs']), o)
    k = o['epochs']*len(learn.dls.train_ds)
    save(n=len(learn.dls.train_ds)+len(learn.dls.valid_ds), epochs=o['epochs'], arch=o['arch'], bs=o['bs'], seconds=t, images_per_s=k/t, rmse=keep.rmse, host_MB=peak.most-peak.first,
         math=describe_math(o['device'], side=o['size']) if which=='galfast' else 'float32', **({'peak_MB': torch.cuda.max_memory_allocated()/1e6, 'reserved_MB': torch.cuda.max_memory_reserved()/1e6} if cuda else {}))

def predict(o, save):
    "Images a second: one view, galfast's eight views, plain fastai's five of `tta`"
    n = min(len(sky(o).df), 400*o['bs'] if o['steps']>4 else 4*o['bs'])
    learners = both(o, n)
    for name,make in learners.items():
        learn = make()
        k = len(learn.dls.valid_ds)
        ways = dict(one_view=lambda l: l.tta8(views=1), eight_views=lambda l: l.tta8()) if name=='galfast' else dict(one_view=lambda l: l.get_preds(), tta=lambda l: l.tta())
        with learn.no_bar(), learn.no_logging():
            for way,f in ways.items():
                if o['steps']>1: f(learn) # to warm up
                save(**{f'{name}_{way}_images_per_s': k/timed(lambda: f(learn), o)}) # noqa: B023
    save(n=k)

def photometry(o, save):
    "Measured features and the Gaussian process; what the device gives beside what a processor gives"
    s = sky(o, min(o['n'], 3000))
    files,read = s.files,ImageReader(size=min(o['window'], 96))
    x = torch.stack([as_float(torch.as_tensor(read(f))[None])[0] for f in files])
    here,there = Photometry(size=x.shape[-1], full=1.),Photometry(size=x.shape[-1], full=1.).to(o['device'])
    few = x[:32]
    there(few.to(o['device']))
    def measure(): return torch.cat([there(b.to(o['device'])).cpu() for b in x.split(512)])
    took,f = seconds(measure, o['device'])
    save(n=len(x), features_images_per_s=len(x)/took, largest_difference=float((here(few)-f[:32]).abs().max()))
    took,(gp,loo) = seconds(lambda: fit_photometry_gp(f, s.df.metallicity.to_numpy(), 3, x.shape[-1], 1.))
    save(fit_s=took, rmse=float(np.sqrt(np.mean((loo[:,0]-s.df.metallicity.to_numpy())**2))))
    gp = gp.to(o['device'])
    with torch.inference_mode(): save(predict_images_per_s=len(x)/timed(lambda: [gp(b.to(o['device'])) for b in x.split(512)], o))

parts = {'cutouts': cutouts, 'tests': tests, 'formats': formats, 'loader': loader, 'story-galfast': partial(story, which='galfast'), 'story-plain': partial(story, which='plain'),
         'predict': predict, 'photometry': photometry}
