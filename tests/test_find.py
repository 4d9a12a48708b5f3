"Which file is the image of a galaxy: never another one's, never one of two in silence"
import os,unicodedata
from pathlib import Path

import numpy as np,pandas as pd,pytest

from galfast.base.core import CatalogError,GalfastError
from galfast.base.find import find_images,folder_table,list_images,no_image_hint,split_image_name

def folder(d, *names):
    for o in names: (d/o).parent.mkdir(parents=True, exist_ok=True); (d/o).write_text(o)
    return d

def found(d, ids=None, filename=None, **kw):
    "Where the images are, from the folder"
    df = pd.DataFrame(dict(objID=ids or [f'x{i}' for i in range(len(filename))]))
    if filename: df['filename'] = filename
    return [o and (sorted(o) if isinstance(o, dict) else os.path.relpath(o, d).replace(os.sep, '/')) for o in find_images(df, d, **kw)]

@pytest.mark.parametrize('name', ['S/3.png', 'S/3', './S/3.png', 'S\\3.png', '../S/3.png', 'T/../S/3.png', '/S/3.png', 'C:\\S\\3.png', 'E/S/3.png'])
def test_a_path_is_that_file_or_none(name, tmp_path):
    "`S/3.png` is gone: `E/3.png` is another galaxy, by an id or by a file name"
    d = folder(tmp_path/'im', 'E/3.png', 'S/4.png')
    assert found(d, [name, 'E/3.png'])==[None, 'E/3.png']
    assert found(d, filename=[name, 'E/3.png'])==[None, 'E/3.png']
    assert found(d, ['3','4'], filename=[name, name])==[None, None] # nor by the id instead

@pytest.mark.parametrize('name', ['S/3.png', 'S/3', './S/3.png', 'S\\3.png', 'E/../S/3.png'])
def test_a_path_that_is_there(name, tmp_path):
    d = folder(tmp_path/'im', 'E/3.png', 'S/3.png')
    assert found(d, [name])==found(d, filename=[name])==['S/3.png']

def test_paths_from_above_the_folder_and_absolute_ones(tmp_path):
    d = folder(tmp_path/'data'/'im', 'S/3.png', '4.png')
    folder(tmp_path, 'else/5.png')
    names = ['im/S/3.png', 'data/im/4.png', str(d/'S/3.png'), str(tmp_path/'else/5.png'), '../../else/5.png', 'other/im/4.png']
    assert found(d, filename=names)==['S/3.png', '4.png', 'S/3.png', '../../else/5.png', '../../else/5.png', None]
    assert found(d/'S', filename=['S/3.png'])==['3.png']
    assert found(d, [str(tmp_path/'else/5.png'), '../../else/5.png'])==[None, None] # an id opens nothing outside

@pytest.mark.parametrize('files,ids', [(['a/7.jpg','b/7.jpg'], '7'), (['7.jpg','7.fits'], '7'), (['7.jpg','7.png'], '7'), (['7.jpg','7.JPG'], '7'), (['7.fits','7.fits.gz'], '7'),
                                       (['a/7.jpg','b/7.jpg'], '7.jpg'), (['7.jpg','thumbs/7.jpg'], '7'), (['7.tif','7.tiff'], '7')])
def test_two_images_of_one_id_are_named(files, ids, tmp_path):
    d = folder(tmp_path, *files, '8.jpg')
    with pytest.raises(CatalogError) as e: found(d, ['8', ids])
    assert all(o in str(e.value) for o in files) and '1 of 2 galaxies' in str(e.value)
    assert found(d, ['8'])==['8.jpg'] # nobody asks for the others

def test_a_type_that_is_asked_for(tmp_path):
    d,told = folder(tmp_path, '7.jpg', '7.fits', '7.png', '8.jpg', '8.fits'),[]
    with pytest.raises(CatalogError, match=r"pattern='\{objID\}\.fits'") as e: found(d, ['7'])
    assert "--pattern '{objID}.fits'" in e.value.typed
    assert found(d, ['7','8'], pattern='{objID}.jpg')==['7.jpg','8.jpg']
    assert found(d, ['7','8'], kind='fits', say=told.append)==['7.fits','8.fits'] and 'two types' in told[0] and '8.fits and 8.jpg' in told[0]
    assert found(d, ['8'], kind='rgb', say=told.append)==['8.jpg']
    with pytest.raises(CatalogError, match='7.jpg and 7.png'): found(d, ['7'], kind='rgb')
    assert found(d, ['7.png','8.fits'])==['7.png','8.fits'] and found(d, filename=['7.jpg','8.JPG'])==['7.jpg','8.jpg']

def test_one_file_under_two_names(tmp_path):
    d = folder(tmp_path/'im', 'a/7.jpg', 'a/8.jpg')
    os.symlink(d/'a'/'7.jpg', d/'7.jpg')
    os.symlink(d/'nowhere', d/'8.jpg')
    assert found(d, ['7'])==['7.jpg']
    with pytest.raises(CatalogError, match='8.jpg and a/8.jpg'): found(d, ['8'])

def test_links_are_followed_and_loops_are_not(tmp_path):
    d,far = folder(tmp_path/'im', 'a/7.jpg'),folder(tmp_path/'far', 'x/9.jpg')
    os.symlink(far, d/'sky', target_is_directory=True)
    os.symlink(d, d/'a'/'round', target_is_directory=True)
    assert found(d, ['7','9','sky/x/9'])==['a/7.jpg','sky/x/9.jpg','sky/x/9.jpg']

def test_names_are_whole(tmp_path):
    d = folder(tmp_path, '7.jpg', '007.jpg', '70.jpg', '7.0.jpg', 'NGC 3.2.png', 'NGC 3.png', 'J1+05.4.fits', 'a.fits.fz', '.8.jpg', '.h/9.jpg', '._7.jpg', 'UP.JPG', '10.jpeg')
    ids = ['7', '007', '70', '7.0', 'NGC 3.2', 'NGC 3', 'J1+05.4', 'a', '8', '9', 'UP', 'up', '10.jpg', '7 ', '', None, '7.png', '00']
    want = ['7.jpg', '007.jpg', '70.jpg', '7.0.jpg', 'NGC 3.2.png', 'NGC 3.png', 'J1+05.4.fits', 'a.fits.fz', None, None, 'UP.JPG', None, '10.jpeg', None, None, None, None, None]
    assert found(d, ids)==want

def test_an_id_that_ends_as_a_type(tmp_path):
    d = folder(tmp_path, '7.fits', '7.fits.png', '8.fits.png')
    assert found(d, ['7.fits', '8.fits'])==['7.fits', '8.fits.png']

@pytest.mark.parametrize('on_disk,asked', [('NFC','NFD'), ('NFD','NFC')])
def test_accents_are_letters_however_they_are_written(on_disk, asked, tmp_path):
    disk,ask = (unicodedata.normalize(o, 'Sérsic é/Ängström.jpg') for o in (on_disk, asked))
    d = folder(tmp_path, disk, '星.png')
    assert found(d, [Path(ask).stem, ask, '星'])==[disk, disk, '星.png']==found(d, filename=[Path(ask).name, ask, '星.png'])

def test_a_column_filename_that_is_about_other_files(tmp_path):
    d,told = folder(tmp_path, *(f'{i}.png' for i in range(4))),[]
    ids = list('0123')
    assert found(d, ids, [f'spec-{i:04}.fits' for i in range(4)], say=told.append)==[f'{i}.png' for i in range(4)]
    assert len(told)==1 and 'filename' in told[0] and 'spec-0000.fits' in told[0]
    assert found(d, ids, ['1.png','0.png','gone.png',None])==['1.png','0.png',None,None] # it is about them: it counts, and alone
    assert found(d, list('789'), ['a.png','b.png','c.png'])==[None]*3

def test_bands(tmp_path):
    d = folder(tmp_path, '1_g.fits', '1_r.fits.gz', '2_g.fits', '2_g.fits.gz', '2_r.fits', '3_g.png', 'a/4_g.fits', 'b/4_g.fits', 'g/5.fits', 'r/5.fits', '6/g.fits', '6/r.fits', '11_g.fits')
    p = '{objID}_{band}.fits'
    assert found(d, ['1','2'], pattern=p, bands='gr')==[['g','r']]*2
    assert Path(find_images(pd.DataFrame(dict(objID=['2'])), d, pattern=p, bands='g')[0]['g']).name=='2_g.fits' # the type that is asked for
    assert found(d, ['3','x',None,'1'], pattern=p, bands='g')==[None,None,None,['g']]
    with pytest.raises(CatalogError, match='4, band g: a/4_g.fits and b/4_g.fits'): found(d, ['4'], pattern=p, bands='gr')
    assert found(d, ['a/4','c/4'], pattern=p, bands='g')==[['g'],None]
    assert found(d, ['5'], pattern='{band}/{objID}.fits', bands='gr')==[['g','r']]==found(d, ['6'], pattern='{objID}/{band}.fits', bands='gr')
    with pytest.raises(GalfastError, match='say which bands to look for'): found(d, ['1'], pattern=p)
    for bad,words in (('{objID.x}.fits','knows only'), ('{objID[a]}.fits','knows only'), ('{name}.fits','knows only'), ('{band}.fits','one name for all'), ('a.fits','one name for all'), ('{objID','knows only')):
        with pytest.raises(GalfastError, match=words): found(d, ['1'], pattern=bad, bands='g')

@pytest.mark.parametrize('typ', ['.heic','.gif','.bmp','.npy','.HEIC'])
def test_types_that_are_not_read_are_named(typ, tmp_path):
    d = folder(tmp_path, f'7{typ}', f'a/8{typ}')
    with pytest.raises(CatalogError, match=f'there is 7{typ}.*convert'): found(d, ['7','8','9'])
    folder(tmp_path, '9.png')
    df = pd.DataFrame(dict(objID=['7','8','9']))
    assert find_images(df, d)[:2]==[None,None] and f'8{typ}' in no_image_hint(df, find_images(df, d), d)
    assert no_image_hint(df[2:], find_images(df[2:], d), d)==''

def test_ids_that_lost_their_zeros(tmp_path):
    d = folder(tmp_path, '0000.png', '0001.png', '0012.png')
    with pytest.raises(CatalogError, match='has 12, the folder 0012.png: ids that lost their zeros'): found(d, ['12','1'])
    assert found(d, ['0012','7'])==['0012.png',None] and found(d, ['7','x'])==[None,None]

def test_types_of_names():
    cases = {'1237.fits.FZ': ('1237','.fits.fz'), 'NGC 3.2': ('NGC 3.2',''), 'a.b.tiff': ('a.b','.tiff'), 'x.WebP': ('x','.webp'), '.jpg': ('','.jpg'), 'a.fit.gz': ('a','.fit.gz'),
             'a.tar.gz': ('a.tar.gz',''), 'jpg': ('jpg',''), 'a.jpg.b': ('a.jpg.b',''), 'a.fits.bz2': ('a','.fits.bz2'), 'b.fits.png': ('b.fits','.png')}
    assert {k: split_image_name(k) for k in cases}==cases

def test_many_files_are_looked_up_not_searched(tmp_path):
    "The work for 40 times as many rows is not that of a search of every file for each"
    d = folder(tmp_path, *(f'{i%7}/{i}.jpg' for i in range(3000)))
    files = list_images(d)
    assert len(files)==3000
    calls = []
    class Counted(type(files)):
        def all(self, stem): calls.append(stem); return super().all(stem)
    files.__class__ = Counted
    assert all(find_images(pd.DataFrame(dict(objID=np.arange(3000).astype(str))), d, files=files)) and len(calls)<=4*3000

@pytest.mark.parametrize('kw,why', [(dict(pattern='{objID}_{band}.fits'), "bands='gri'"), (dict(pattern='{name}.fits', bands='g'), 'knows only')])
def test_patterns_that_say_too_little(tmp_path, kw, why):
    with pytest.raises(GalfastError, match=why): find_images(pd.DataFrame({'objID': ['7']}), tmp_path, **kw)

def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(GalfastError, match='no such folder'): find_images(pd.DataFrame({'objID': ['7']}), tmp_path/'none')

def test_two_images_of_one_id_and_a_type_that_is_not_read(tmp_path):
    d = folder(tmp_path/'im', 'a/7.jpg', 'b/7.jpg', '8.heic')
    for o,why in (('7', 'a/7.jpg and b/7.jpg'), ('8', 'there is 8.heic')):
        with pytest.raises(CatalogError, match=why): find_images(pd.DataFrame({'objID': [o]}), d)

def test_a_folder_is_a_catalogue(tmp_path):
    d = folder(tmp_path/'im', '7_g.fits', '7_r.fits', '8_x_g.fits', '8_x_r.fits')
    df = folder_table(d, pattern='{objID}_{band}.fits')
    assert df.objID.tolist()==['7','8_x'] and [len(o) for o in find_images(df, d, pattern='{objID}_{band}.fits', bands='gr')]==[2,2]
