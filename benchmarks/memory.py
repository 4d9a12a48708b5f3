"A process of its own for the benchmark `memory`: train an epoch on galaxies that are on disk, and say how much memory was taken, in MB, without what is mapped from files"
import re,sys,threading,time

from common import *
from galfast.networks.xresnets import galaxy_xresnet

def own_memory(): return int(re.search(r'RssAnon:\s+(\d+)', Path('/proc/self/status').read_text())[1])/1024

class Peak(threading.Thread):
    "Looks at the memory of this process twenty times a second"
    def __init__(self): super().__init__(daemon=True); self.most,self.first = 0,own_memory()
    def run(self):
        while True: self.most = max(self.most, own_memory()); time.sleep(.05)

if __name__=='__main__':
    way,root,n,device = sys.argv[1:]
    sky = Galaxies(pd.DataFrame(dict(objID=[str(i) for i in range(int(n))], metallicity=np.linspace(8.5, 9.2, int(n)))), root, device)
    peak = Peak(); peak.start()
    net = galaxy_xresnet(9, sa=False)
    learn = galaxy_learner(sky.galfast_dls(64), net) if way=='galfast' else Learner(sky.plain_dls(64, workers=0), net, opt_func=ranger, loss_func=rmse_loss)
    fit(learn, 1)
    print(peak.most-peak.first)
