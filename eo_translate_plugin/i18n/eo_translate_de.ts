<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de">
  <context>
    <name>EOTranslate</name>
    <message>
      <source>A Python 3.10 or newer that has the engine's packages. Empty: the environment below, else the interpreter of eo-translate on PATH. The variable EO_TRANSLATE_PYTHON goes before both.</source>
      <translation>Ein Python 3.10 oder neuer mit den Paketen der Engine. Leer: die Umgebung unten, sonst der Interpreter von eo-translate im PATH. Die Variable EO_TRANSLATE_PYTHON geht beiden vor.</translation>
    </message>
    <message>
      <source>A coarse preview: each pixel stands for {count} x {count} of the layer. For the pixels of the final run, zoom in (View &gt; Zoom to Native Resolution) and preview again.</source>
      <translation>Eine grobe Vorschau: jedes Pixel steht für {count} x {count} des Layers. Für die Pixel des endgültigen Laufs hineinzoomen (Ansicht &gt; Auf native Auflösung zoomen) und die Vorschau wiederholen.</translation>
    </message>
    <message>
      <source>Above 0 the result follows the inputs more than the model by itself would, at twice the time and with less variety. Empty: 0.</source>
      <translation>Über 0 folgt das Ergebnis den Eingaben stärker, als das Modell es von sich aus täte, bei doppelter Zeit und weniger Vielfalt. Leer: 0.</translation>
    </message>
    <message>
      <source>Add the results to the map</source>
      <translation>Ergebnisse zur Karte hinzufügen</translation>
    </message>
    <message>
      <source>Adds every result to the project, in a group and with a style that fits it.</source>
      <translation>Fügt jedes Ergebnis dem Projekt hinzu, in einer Gruppe und mit passender Darstellung.</translation>
    </message>
    <message>
      <source>Advanced parameters</source>
      <translation>Erweiterte Parameter</translation>
    </message>
    <message>
      <source>All numbers, by result and by band, for other programs.</source>
      <translation>Alle Zahlen nach Ergebnis und Band, für andere Programme.</translation>
    </message>
    <message>
      <source>All results</source>
      <translation>Alle Ergebnisse</translation>
    </message>
    <message>
      <source>Anchor of the windows</source>
      <translation>Verankerung der Fenster</translation>
    </message>
    <message>
      <source>Band number of VH; empty: found by band name, or band 2.</source>
      <translation>Kanalnummer von VH; leer: nach dem Kanalnamen gesucht, sonst Kanal 2.</translation>
    </message>
    <message>
      <source>Band number of VV; empty: found by band name, or band 1.</source>
      <translation>Kanalnummer von VV; leer: nach dem Kanalnamen gesucht, sonst Kanal 1.</translation>
    </message>
    <message>
      <source>Bands of the reference</source>
      <translation>Bänder der Referenz</translation>
    </message>
    <message>
      <source>Bands of the results</source>
      <translation>Bänder der Ergebnisse</translation>
    </message>
    <message>
      <source>CPU (about 100 MB to download)</source>
      <translation>CPU (etwa 100 MB herunterzuladen)</translation>
    </message>
    <message>
      <source>CRS of the results</source>
      <translation>KBS der Ergebnisse</translation>
    </message>
    <message>
      <source>Cancel</source>
      <translation>Abbrechen</translation>
    </message>
    <message>
      <source>Cancelled; press Create to go on from here.</source>
      <translation>Abgebrochen; „Anlegen“ macht von hier aus weiter.</translation>
    </message>
    <message>
      <source>Checking the engine</source>
      <translation>Engine wird geprüft</translation>
    </message>
    <message>
      <source>Class legend</source>
      <translation>Klassenlegende</translation>
    </message>
    <message>
      <source>Cloud mask</source>
      <translation>Wolkenmaske</translation>
    </message>
    <message>
      <source>Clouds and their shadows in the model's own class codes.</source>
      <translation>Wolken und ihre Schatten in den Klassenwerten des Modells.</translation>
    </message>
    <message>
      <source>Coarse multispectral image (QNR)</source>
      <translation>Grobes Multispektralbild (QNR)</translation>
    </message>
    <message>
      <source>Create</source>
      <translation>Anlegen</translation>
    </message>
    <message>
      <source>Creating {folder}</source>
      <translation>{folder} wird angelegt</translation>
    </message>
    <message>
      <source>Date</source>
      <translation>Datum</translation>
    </message>
    <message>
      <source>Delete {folder} and everything in it?</source>
      <translation>{folder} mit allem Inhalt löschen?</translation>
    </message>
    <message>
      <source>Device</source>
      <translation>Gerät</translation>
    </message>
    <message>
      <source>Diffusion models (torch; about 1 GB more)</source>
      <translation>Diffusionsmodelle (torch; etwa 1 GB mehr)</translation>
    </message>
    <message>
      <source>Distant view</source>
      <translation>Blick aus der Ferne</translation>
    </message>
    <message>
      <source>Downloading and installing packages</source>
      <translation>Pakete werden heruntergeladen und installiert</translation>
    </message>
    <message>
      <source>Draws a plausible false-colour optical image from a Sentinel-1 scene (and a DEM).</source>
      <translation>Zeichnet aus einer Sentinel-1-Szene (und einem DGM) ein plausibles optisches Falschfarbenbild.</translation>
    </message>
    <message>
      <source>Draws a plausible satellite image whose land cover follows a class raster.</source>
      <translation>Zeichnet ein plausibles Satellitenbild, dessen Landbedeckung einem Klassenraster folgt.</translation>
    </message>
    <message>
      <source>Draws radar, optical, elevation or land cover that fits the rasters that you have.</source>
      <translation>Zeichnet Radar, Optik, Höhen oder Landbedeckung, die zu den vorhandenen Rastern passen.</translation>
    </message>
    <message>
      <source>Draws the scene first in pixels so many times as wide, and fills it in: for scenes of many windows where absolute height or tone matters. Empty: every window goes by what it sees.</source>
      <translation>Zeichnet die Szene zuerst in so vielfach breiteren Pixeln und füllt sie dann aus: für Szenen aus vielen Fenstern, bei denen es auf absolute Höhe oder Tönung ankommt. Leer: Jedes Fenster richtet sich nach dem, was es sieht.</translation>
    </message>
    <message>
      <source>EO Translate (imagery you do not have, from the rasters you do)</source>
      <translation>EO Translate (Bilder, die fehlen, aus Rastern, die vorhanden sind)</translation>
    </message>
    <message>
      <source>EO Translate: preview</source>
      <translation>EO Translate: Vorschau</translation>
    </message>
    <message>
      <source>Elevation</source>
      <translation>Höhe</translation>
    </message>
    <message>
      <source>Elevation (DEM)</source>
      <translation>Höhe (DGM)</translation>
    </message>
    <message>
      <source>Elevation in metres, any grid or CRS.</source>
      <translation>Höhe in Metern, beliebiges Raster oder KBS.</translation>
    </message>
    <message>
      <source>Elevation in metres, any grid or CRS; warped to the SAR raster's grid.</source>
      <translation>Höhe in Metern, beliebiges Gitter oder KBS; wird auf das Gitter des SAR-Rasters gebracht.</translation>
    </message>
    <message>
      <source>Empty: that of the first input, or of the extent where nothing is given.</source>
      <translation>Leer: das der ersten Eingabe oder, wo nichts gegeben ist, das der Ausdehnung.</translation>
    </message>
    <message>
      <source>Engine</source>
      <translation>Engine</translation>
    </message>
    <message>
      <source>Environment made by this page</source>
      <translation>Von dieser Seite angelegte Umgebung</translation>
    </message>
    <message>
      <source>Evaluate images against a reference</source>
      <translation>Bilder gegen eine Referenz bewerten</translation>
    </message>
    <message>
      <source>Evaluation</source>
      <translation>Bewertung</translation>
    </message>
    <message>
      <source>Extent to translate</source>
      <translation>Zu übersetzende Ausdehnung</translation>
    </message>
    <message>
      <source>Factor on the reference's values</source>
      <translation>Faktor auf die Werte der Referenz</translation>
    </message>
    <message>
      <source>Factor on the results' values</source>
      <translation>Faktor auf die Werte der Ergebnisse</translation>
    </message>
    <message>
      <source>Files with the weights of AlexNet, VGG-16, ResNet-50 or Inception v3, for LPIPS, DISTS and FID. Nothing is downloaded; without them these scores are left out.</source>
      <translation>Dateien mit den Gewichten von AlexNet, VGG-16, ResNet-50 oder Inception v3, für LPIPS, DISTS und FID. Nichts wird heruntergeladen; ohne sie entfallen diese Maße.</translation>
    </message>
    <message>
      <source>Folder</source>
      <translation>Ordner</translation>
    </message>
    <message>
      <source>Folder of the results</source>
      <translation>Ordner der Ergebnisse</translation>
    </message>
    <message>
      <source>For POSITION = point: any place on Earth.</source>
      <translation>Für POSITION = point: ein beliebiger Ort der Erde.</translation>
    </message>
    <message>
      <source>For QNR alone: the image that the results sharpen, with equal bands and larger pixels.</source>
      <translation>Nur für QNR: das Bild, das die Ergebnisse schärfen, mit gleichen Bändern und größeren Pixeln.</translation>
    </message>
    <message>
      <source>For QNR alone: the one-band image that the results were sharpened with.</source>
      <translation>Nur für QNR: das einbandige Bild, mit dem die Ergebnisse geschärft wurden.</translation>
    </message>
    <message>
      <source>For Translate any modality to any other; to add them later, tick this and press Repair.</source>
      <translation>Für „Beliebige Modalität in jede andere übersetzen“; um sie später hinzuzufügen, hier ankreuzen und „Reparieren“ drücken.</translation>
    </message>
    <message>
      <source>For each output band, the mean and the standard deviation over the samples, in physical units. It needs at least two samples, and shows the model's own doubt, not its error.</source>
      <translation>Für jeden Ausgabekanal Mittelwert und Standardabweichung über die Ziehungen, in physikalischen Einheiten. Braucht mindestens zwei Ziehungen und zeigt den Zweifel des Modells, nicht seinen Fehler.</translation>
    </message>
    <message>
      <source>For models with modalities of their own: the modality's name and a raster layer or file, in turn, as in canopy,/data/canopy.tif.</source>
      <translation>Für Modelle mit eigenen Modalitäten: abwechselnd der Name der Modalität und ein Rasterlayer oder eine Datei, wie in canopy,/data/canopy.tif.</translation>
    </message>
    <message>
      <source>For the legend custom: value=class pairs separated by semicolons, as in 1=water;2=trees;0=nodata. The classes are those of the model.</source>
      <translation>Für die Legende custom: Paare Wert=Klasse, durch Semikolon getrennt, etwa 1=water;2=trees;0=nodata. Die Klassen sind die des Modells.</translation>
    </message>
    <message>
      <source>GDAL creation options separated by |, as in COMPRESS=ZSTD|BIGTIFF=YES; they are laid over the plugin's own (tiled, compressed, BIGTIFF=IF_SAFER).</source>
      <translation>GDAL-Erzeugungsoptionen, durch | getrennt, etwa COMPRESS=ZSTD|BIGTIFF=YES; sie gehen den eigenen vor (gekachelt, komprimiert, BIGTIFF=IF_SAFER).</translation>
    </message>
    <message>
      <source>GENERATE names nothing; write what to make, separated by commas, as in s2_l2a,dem.</source>
      <translation>GENERATE nennt nichts; schreiben Sie, was entstehen soll, durch Kommas getrennt, wie in s2_l2a,dem.</translation>
    </message>
    <message>
      <source>Generate</source>
      <translation>Erzeugen</translation>
    </message>
    <message>
      <source>GeoTIFF creation options</source>
      <translation>GeoTIFF-Erzeugungsoptionen</translation>
    </message>
    <message>
      <source>GeoTIFF on the SAR raster's grid, marked as synthetic, with model, seed and job in its tags.</source>
      <translation>GeoTIFF auf dem Gitter des SAR-Rasters, als synthetisch gekennzeichnet, mit Modell, Startwert und Auftrag in den Metadaten.</translation>
    </message>
    <message>
      <source>GeoTIFF on the mask's grid, marked as synthetic, with model, seed and job in its tags.</source>
      <translation>GeoTIFF auf dem Gitter der Maske, als synthetisch gekennzeichnet, mit Modell, Startwert und Auftrag in den Metadaten.</translation>
    </message>
    <message>
      <source>Gets one GeoTIFF a modality, as s2_l2a.tif, each marked as synthetic, with model, seed and job in its tags; further samples are s2_l2a_v2.tif and so on, the uncertainty is s2_l2a_uncertainty.tif.</source>
      <translation>Bekommt je Modalität ein GeoTIFF, wie s2_l2a.tif, als synthetisch gekennzeichnet, mit Modell, Startwert und Auftrag in seinen Tags; weitere Ziehungen heißen s2_l2a_v2.tif und so fort, die Unsicherheit heißt s2_l2a_uncertainty.tif.</translation>
    </message>
    <message>
      <source>Go on creating</source>
      <translation>Weiter anlegen</translation>
    </message>
    <message>
      <source>Guidance</source>
      <translation>Führung</translation>
    </message>
    <message>
      <source>HTML files</source>
      <translation>HTML-Dateien</translation>
    </message>
    <message>
      <source>How many images to draw that differ by noise alone. The first is written to the output; the mean and the standard deviation of all are written to the uncertainty raster. Time grows in proportion.</source>
      <translation>Wie viele Bilder gezogen werden, die sich allein im Rauschen unterscheiden. Das erste wird ausgegeben; Mittelwert und Standardabweichung aller stehen im Unsicherheitsraster. Die Zeit wächst entsprechend.</translation>
    </message>
    <message>
      <source>How many results to draw that differ by noise alone. The first is written; ALL_SAMPLES writes the others too, UNCERTAINTY writes where they differ. Time grows in proportion.</source>
      <translation>Wie viele Ergebnisse gezogen werden, die sich nur im Rauschen unterscheiden. Das erste wird geschrieben; ALL_SAMPLES schreibt auch die anderen, UNCERTAINTY schreibt, wo sie sich unterscheiden. Die Zeit wächst im selben Maß.</translation>
    </message>
    <message>
      <source>How often overlapping windows are reconciled on the way; 1 is fastest, 2 to 4 join large scenes better. Empty: as the model's author advises.</source>
      <translation>Wie oft überlappende Fenster unterwegs abgeglichen werden; 1 ist am schnellsten, 2 bis 4 verbinden große Szenen besser. Leer: wie vom Autor des Modells empfohlen.</translation>
    </message>
    <message>
      <source>How often the network is evaluated for each window; more is slower and finer. Empty: as many as the model's author advises.</source>
      <translation>Wie oft das Netz für jedes Fenster ausgewertet wird; mehr ist langsamer und feiner. Leer: so oft, wie der Autor des Modells empfiehlt.</translation>
    </message>
    <message>
      <source>Image (synthetic)</source>
      <translation>Bild (synthetisch)</translation>
    </message>
    <message>
      <source>Image translation</source>
      <translation>Bildübersetzung</translation>
    </message>
    <message>
      <source>In QGIS: tick Diffusion models in Settings &gt; Options &gt; EO Translate, and press Create.</source>
      <translation>In QGIS: unter Einstellungen &gt; Optionen &gt; EO Translate Diffusionsmodelle ankreuzen und „Erstellen“ drücken.</translation>
    </message>
    <message>
      <source>In units of the CRS. Empty: that of the first input, or the model's where nothing is given.</source>
      <translation>In Einheiten des KBS. Leer: die der ersten Eingabe oder, wo nichts gegeben ist, die des Modells.</translation>
    </message>
    <message>
      <source>In use</source>
      <translation>In Gebrauch</translation>
    </message>
    <message>
      <source>Interrupted earlier run</source>
      <translation>Unterbrochener früherer Lauf</translation>
    </message>
    <message>
      <source>JSON files</source>
      <translation>JSON-Dateien</translation>
    </message>
    <message>
      <source>LEGEND is custom, so MAPPING must say what the values mean, as in 1=water;2=trees.</source>
      <translation>LEGEND ist custom, also muss MAPPING sagen, was die Werte bedeuten, etwa 1=water;2=trees.</translation>
    </message>
    <message>
      <source>Land cover</source>
      <translation>Landbedeckung</translation>
    </message>
    <message>
      <source>Land cover, one band of class values; LULC_LEGEND says what they mean.</source>
      <translation>Landbedeckung, ein Kanal mit Klassenwerten; LULC_LEGEND sagt, was sie bedeuten.</translation>
    </message>
    <message>
      <source>Land-cover mask</source>
      <translation>Landbedeckungsmaske</translation>
    </message>
    <message>
      <source>Legend of the land cover</source>
      <translation>Legende der Landbedeckung</translation>
    </message>
    <message>
      <source>Looking at {python}</source>
      <translation>{python} wird angesehen</translation>
    </message>
    <message>
      <source>MAPPING has the part {part}; write each value once, as a whole number, = and a class, as in 1=water;2=trees.</source>
      <translation>MAPPING enthält {part}; jeder Wert steht einmal, als ganze Zahl, = und eine Klasse, etwa 1=water;2=trees.</translation>
    </message>
    <message>
      <source>MAPPING is given, but LEGEND is {legend}; set LEGEND to custom, or clear MAPPING.</source>
      <translation>MAPPING ist angegeben, aber LEGEND ist {legend}; LEGEND auf custom setzen oder MAPPING leeren.</translation>
    </message>
    <message>
      <source>Messages</source>
      <translation>Meldungen</translation>
    </message>
    <message>
      <source>Modality</source>
      <translation>Modalität</translation>
    </message>
    <message>
      <source>Model</source>
      <translation>Modell</translation>
    </message>
    <message>
      <source>NVIDIA graphics card, CUDA (about 1.5 GB to download)</source>
      <translation>NVIDIA-Grafikkarte, CUDA (etwa 1,5 GB herunterzuladen)</translation>
    </message>
    <message>
      <source>Names or numbers separated by commas, as B04,B03 or 1,2; empty: equal names, or all.</source>
      <translation>Namen oder Nummern, durch Kommas getrennt, wie B04,B03 oder 1,2; leer: gleiche Namen oder alle.</translation>
    </message>
    <message>
      <source>No Python {oldest} or newer that can make environments was found (tried {tried}); install one, on Debian and Ubuntu with 'apt install python3-venv', and press Create again.</source>
      <translation>Es wurde kein Python {oldest} oder neuer gefunden, das Umgebungen anlegen kann (versucht: {tried}); eines installieren, unter Debian und Ubuntu mit 'apt install python3-venv', und noch einmal anlegen.</translation>
    </message>
    <message>
      <source>No raster is given, so the place must be: set EXTENT with its CRS, as in 600000,602560,5297440,5300000 [EPSG:32632], or give an input.</source>
      <translation>Es ist kein Raster gegeben, also muss es der Ort sein: Setzen Sie EXTENT mit seinem KBS, wie in 600000,602560,5297440,5300000 [EPSG:32632], oder geben Sie eine Eingabe.</translation>
    </message>
    <message>
      <source>Nothing was written.</source>
      <translation>Es wurde nichts geschrieben.</translation>
    </message>
    <message>
      <source>Nothing was written; run it again.</source>
      <translation>Es wurde nichts geschrieben; erneut ausführen.</translation>
    </message>
    <message>
      <source>Numbers</source>
      <translation>Zahlen</translation>
    </message>
    <message>
      <source>OTHER_INPUTS must be modalities and rasters in turn, as in canopy,/data/canopy.tif; found {found}.</source>
      <translation>OTHER_INPUTS muss abwechselnd Modalitäten und Raster enthalten, wie in canopy,/data/canopy.tif; gefunden: {found}.</translation>
    </message>
    <message>
      <source>OTHER_INPUTS names {name}, which is no raster; use the parameter {name_upper}.</source>
      <translation>OTHER_INPUTS nennt {name}, und das ist kein Raster; verwenden Sie den Parameter {name_upper}.</translation>
    </message>
    <message>
      <source>OTHER_INPUTS names {place}, which is no raster layer or file.</source>
      <translation>OTHER_INPUTS nennt {place}, und das ist weder Rasterlayer noch Rasterdatei.</translation>
    </message>
    <message>
      <source>One band of class values, or three bands of class colours. The output lies on exactly this raster's grid.</source>
      <translation>Ein Kanal mit Klassenwerten oder drei mit Klassenfarben. Die Ausgabe liegt genau auf dem Gitter dieses Rasters.</translation>
    </message>
    <message>
      <source>One file with numbers, difference maps and histograms; it opens in any browser.</source>
      <translation>Eine Datei mit Zahlen, Differenzkarten und Histogrammen; jeder Browser öffnet sie.</translation>
    </message>
    <message>
      <source>One result, or several samples of the same place. Those on another grid are resampled to the reference's, and the report says so.</source>
      <translation>Ein Ergebnis oder mehrere Ziehungen desselben Ortes. Solche auf einem anderen Gitter werden auf das der Referenz umgerechnet, und der Bericht sagt es.</translation>
    </message>
    <message>
      <source>Only this part is written, snapped outward to whole pixels; empty: all that the inputs cover. It is needed where nothing is given. Where two extents overlap, their pixels are equal.</source>
      <translation>Nur dieser Teil wird geschrieben, nach außen auf ganze Pixel erweitert; leer: alles, was die Eingaben bedecken. Nötig, wo nichts gegeben ist. Wo sich zwei Ausdehnungen überlappen, sind ihre Pixel gleich.</translation>
    </message>
    <message>
      <source>Only this part is written, snapped outward to whole pixels; empty: the whole raster. A part is identical, pixel for pixel, to the same part of a run over the whole raster.</source>
      <translation>Nur dieser Teil wird geschrieben, nach außen auf ganze Pixel gerundet; leer: das ganze Raster. Ein Teil ist Pixel für Pixel gleich demselben Teil eines Laufs über das ganze Raster.</translation>
    </message>
    <message>
      <source>Open the folder of models and logs</source>
      <translation>Ordner der Modelle und Protokolle öffnen</translation>
    </message>
    <message>
      <source>Optical image (synthetic)</source>
      <translation>Optisches Bild (synthetisch)</translation>
    </message>
    <message>
      <source>Other inputs</source>
      <translation>Andere Eingaben</translation>
    </message>
    <message>
      <source>Own mapping of values to classes</source>
      <translation>Eigene Zuordnung von Werten zu Klassen</translation>
    </message>
    <message>
      <source>POSITION is {how}; a POINT belongs to POSITION = point, and to nothing else.</source>
      <translation>POSITION ist {how}; ein POINT gehört zu POSITION = point und zu nichts anderem.</translation>
    </message>
    <message>
      <source>Panchromatic image (QNR)</source>
      <translation>Panchromatisches Bild (QNR)</translation>
    </message>
    <message>
      <source>Pixel size of the results</source>
      <translation>Pixelgröße der Ergebnisse</translation>
    </message>
    <message>
      <source>Pixels compared</source>
      <translation>Verglichene Pixel</translation>
    </message>
    <message>
      <source>Point</source>
      <translation>Punkt</translation>
    </message>
    <message>
      <source>Position</source>
      <translation>Ort</translation>
    </message>
    <message>
      <source>Precision</source>
      <translation>Genauigkeit</translation>
    </message>
    <message>
      <source>Preparing</source>
      <translation>Vorbereitung</translation>
    </message>
    <message>
      <source>Preview</source>
      <translation>Vorschau</translation>
    </message>
    <message>
      <source>Preview as image (from land-cover mask)</source>
      <translation>Vorschau als Bild (aus Landbedeckungsmaske)</translation>
    </message>
    <message>
      <source>Preview as optical image (from SAR)</source>
      <translation>Vorschau als optisches Bild (aus SAR)</translation>
    </message>
    <message>
      <source>Preview here</source>
      <translation>Vorschau hier</translation>
    </message>
    <message>
      <source>Preview settings...</source>
      <translation>Vorschau einstellen…</translation>
    </message>
    <message>
      <source>Preview: {layer}</source>
      <translation>Vorschau: {layer}</translation>
    </message>
    <message>
      <source>Previewing</source>
      <translation>Vorschau läuft</translation>
    </message>
    <message>
      <source>Previewing; it waits for the run in progress.</source>
      <translation>Die Vorschau wartet auf den laufenden Lauf.</translation>
    </message>
    <message>
      <source>Python interpreter</source>
      <translation>Python-Interpreter</translation>
    </message>
    <message>
      <source>RESULTS must be one or several rasters.</source>
      <translation>RESULTS muss aus einem oder mehreren Rastern bestehen.</translation>
    </message>
    <message>
      <source>Raster layer or file</source>
      <translation>Rasterlayer oder Datei</translation>
    </message>
    <message>
      <source>Reference (the truth)</source>
      <translation>Referenz (die Wahrheit)</translation>
    </message>
    <message>
      <source>Remove...</source>
      <translation>Entfernen …</translation>
    </message>
    <message>
      <source>Removing...</source>
      <translation>Wird entfernt …</translation>
    </message>
    <message>
      <source>Repair</source>
      <translation>Reparieren</translation>
    </message>
    <message>
      <source>Report</source>
      <translation>Bericht</translation>
    </message>
    <message>
      <source>Results</source>
      <translation>Ergebnisse</translation>
    </message>
    <message>
      <source>Run time in seconds</source>
      <translation>Laufzeit in Sekunden</translation>
    </message>
    <message>
      <source>Runs eo-translate doctor: versions, devices, models and a small self-test.</source>
      <translation>Führt eo-translate doctor aus: Versionen, Geräte, Modelle und ein kleiner Selbsttest.</translation>
    </message>
    <message>
      <source>SAR backscatter</source>
      <translation>SAR-Rückstreuung</translation>
    </message>
    <message>
      <source>SAR units</source>
      <translation>SAR-Einheiten</translation>
    </message>
    <message>
      <source>SHA-256 of the model's weights</source>
      <translation>SHA-256 der Modellgewichte</translation>
    </message>
    <message>
      <source>Samples</source>
      <translation>Ziehungen</translation>
    </message>
    <message>
      <source>Says how close results are to the truth: PSNR, SSIM, spectral angle and more.</source>
      <translation>Sagt, wie nah Ergebnisse an der Wahrheit sind: PSNR, SSIM, Spektralwinkel und mehr.</translation>
    </message>
    <message>
      <source>Seed</source>
      <translation>Startwert</translation>
    </message>
    <message>
      <source>Sentinel-1 (or similar) backscatter, VV with or without VH, in dB, linear power or as a grey-scale picture. The output lies on exactly this raster's grid.</source>
      <translation>Rückstreuung von Sentinel-1 (oder ähnlich), VV mit oder ohne VH, in dB, linearer Leistung oder als Graubild. Die Ausgabe liegt genau auf dem Gitter dieses Rasters.</translation>
    </message>
    <message>
      <source>Sentinel-1 RTC</source>
      <translation>Sentinel-1 RTC</translation>
    </message>
    <message>
      <source>Sentinel-1 backscatter, terrain-corrected: VV and VH, in dB or linear power.</source>
      <translation>Sentinel-1-Rückstreuung, geländekorrigiert: VV und VH, in dB oder linearer Leistung.</translation>
    </message>
    <message>
      <source>Sentinel-1 units</source>
      <translation>Einheiten von Sentinel-1</translation>
    </message>
    <message>
      <source>Sentinel-2 L1C</source>
      <translation>Sentinel-2 L1C</translation>
    </message>
    <message>
      <source>Sentinel-2 L2A</source>
      <translation>Sentinel-2 L2A</translation>
    </message>
    <message>
      <source>Sentinel-2 at the surface; bands are found by their names.</source>
      <translation>Sentinel-2 am Boden; Kanäle werden an ihren Namen erkannt.</translation>
    </message>
    <message>
      <source>Sentinel-2 at the top of the atmosphere; bands are found by their names.</source>
      <translation>Sentinel-2 am Oberrand der Atmosphäre; Kanäle werden an ihren Namen erkannt.</translation>
    </message>
    <message>
      <source>Sentinel-2 units</source>
      <translation>Einheiten von Sentinel-2</translation>
    </message>
    <message>
      <source>Side of a tile (pixels)</source>
      <translation>Seite einer Kachel (Pixel)</translation>
    </message>
    <message>
      <source>Solver</source>
      <translation>Löser</translation>
    </message>
    <message>
      <source>Some scores compare tiles as small images; this is their side.</source>
      <translation>Einige Maße vergleichen Kacheln als kleine Bilder; dies ist deren Seite.</translation>
    </message>
    <message>
      <source>Stages</source>
      <translation>Stufen</translation>
    </message>
    <message>
      <source>Starting the engine</source>
      <translation>Engine wird gestartet</translation>
    </message>
    <message>
      <source>Steps</source>
      <translation>Schritte</translation>
    </message>
    <message>
      <source>Such as 0.0001 for Sentinel-2 numbers; empty: the scale and offset that are in the file.</source>
      <translation>Etwa 0.0001 für Sentinel-2-Zahlen; leer: Skala und Versatz, die in der Datei stehen.</translation>
    </message>
    <message>
      <source>Test</source>
      <translation>Testen</translation>
    </message>
    <message>
      <source>The creation option {part} is not of the form NAME=VALUE; separate options by |.</source>
      <translation>Die Erzeugungsoption {part} hat nicht die Form NAME=WERT; Optionen mit | trennen.</translation>
    </message>
    <message>
      <source>The day that the images are to show, as 2024-05-31, where the model knows dates; empty: any.</source>
      <translation>Der Tag, den die Bilder zeigen sollen, wie 2024-05-31, wo das Modell Tage kennt; leer: irgendeiner.</translation>
    </message>
    <message>
      <source>The engine does not work ({reason}); the log is {log}.</source>
      <translation>Die Engine funktioniert nicht ({reason}); das Protokoll ist {log}.</translation>
    </message>
    <message>
      <source>The engine is installed and works.</source>
      <translation>Die Engine ist installiert und funktioniert.</translation>
    </message>
    <message>
      <source>The engine works.</source>
      <translation>Die Engine funktioniert.</translation>
    </message>
    <message>
      <source>The environment could not be made ({reason}); the log is {log}.</source>
      <translation>Die Umgebung konnte nicht angelegt werden ({reason}); das Protokoll ist {log}.</translation>
    </message>
    <message>
      <source>The environment was removed.</source>
      <translation>Die Umgebung wurde entfernt.</translation>
    </message>
    <message>
      <source>The folder {folder} cannot be made ({reason}); choose another.</source>
      <translation>Der Ordner {folder} kann nicht angelegt werden ({reason}); wählen Sie einen anderen.</translation>
    </message>
    <message>
      <source>The layer {name} is of the type {provider}, which gives pictures or computed pixels and not a local raster file; save it with Export &gt; Save As (raw data) and choose the saved file.</source>
      <translation>Der Layer {name} hat den Typ {provider}, der Bilder oder berechnete Pixel liefert und keine lokale Rasterdatei; mit Export &gt; Speichern als (Rohdaten) speichern und die gespeicherte Datei wählen.</translation>
    </message>
    <message>
      <source>The layer {name} is only {count} pixels wide on the map; zoom in to it first.</source>
      <translation>Der Layer {name} ist auf der Karte nur {count} Pixel breit; erst hineinzoomen.</translation>
    </message>
    <message>
      <source>The map shows nothing of the layer {name}; zoom to it first.</source>
      <translation>Die Karte zeigt nichts vom Layer {name}; erst auf ihn zoomen.</translation>
    </message>
    <message>
      <source>The model {model} does not make {name}; GENERATE can be {known}.</source>
      <translation>Das Modell {model} erzeugt {name} nicht; GENERATE kann {known} sein.</translation>
    </message>
    <message>
      <source>The model {model} is no any-to-any model; choose one that is, or the algorithm that is made for it.</source>
      <translation>Das Modell {model} ist keines von beliebig zu beliebig; wählen Sie ein solches oder den Algorithmus, der zu ihm gehört.</translation>
    </message>
    <message>
      <source>The model {model} knows no {name}; it takes {known}.</source>
      <translation>Das Modell {model} kennt {name} nicht; es nimmt {known}.</translation>
    </message>
    <message>
      <source>The name of an installed any-to-any model, or the folder of a model package. It decides which inputs can be given and what can be generated.</source>
      <translation>Der Name eines installierten Modells von beliebig zu beliebig oder der Ordner eines Modellpakets. Es entscheidet, welche Eingaben möglich sind und was erzeugt werden kann.</translation>
    </message>
    <message>
      <source>The name of an installed model, or the folder of a model package (item.json and its weights).</source>
      <translation>Der Name eines installierten Modells oder der Ordner eines Modellpakets (item.json mit Gewichten).</translation>
    </message>
    <message>
      <source>The packages could not be installed ({reason}); check the network and Settings &gt; Options &gt; Network &gt; proxy, and press Create to go on; the log is {log}.</source>
      <translation>Die Pakete konnten nicht installiert werden ({reason}); Netz und Einstellungen &gt; Optionen &gt; Netzwerk &gt; Proxy prüfen und mit „Anlegen“ weitermachen; das Protokoll ist {log}.</translation>
    </message>
    <message>
      <source>The raster that is right. Everything is compared on its grid.</source>
      <translation>Das Raster, das stimmt. Alles wird auf seinem Gitter verglichen.</translation>
    </message>
    <message>
      <source>The same for the results, in that order.</source>
      <translation>Dasselbe für die Ergebnisse, in dieser Reihenfolge.</translation>
    </message>
    <message>
      <source>The same seed gives the same pixels; another seed gives another plausible image, where the model draws noise.</source>
      <translation>Gleicher Startwert, gleiche Pixel; ein anderer gibt ein anderes plausibles Bild, wenn das Modell Rauschen zieht.</translation>
    </message>
    <message>
      <source>Translate SAR to optical</source>
      <translation>SAR in Optik übersetzen</translation>
    </message>
    <message>
      <source>Translate any modality to any other</source>
      <translation>Beliebige Modalität in jede andere übersetzen</translation>
    </message>
    <message>
      <source>Translate land-cover mask to image</source>
      <translation>Landbedeckungsmaske in Bild übersetzen</translation>
    </message>
    <message>
      <source>Translates what the map shows and lays it over the map</source>
      <translation>Übersetzt, was die Karte zeigt, und legt es über die Karte</translation>
    </message>
    <message>
      <source>UNCERTAINTY compares samples, and SAMPLES is 1; set SAMPLES to 2 or more.</source>
      <translation>UNCERTAINTY vergleicht Ziehungen, und SAMPLES ist 1; SAMPLES auf 2 oder mehr setzen.</translation>
    </message>
    <message>
      <source>Uncertainty (mean and standard deviation)</source>
      <translation>Unsicherheit (Mittelwert und Standardabweichung)</translation>
    </message>
    <message>
      <source>VH band</source>
      <translation>VH-Kanal</translation>
    </message>
    <message>
      <source>VH_BAND is given without VV_BAND; give the numbers of both, or of VV alone.</source>
      <translation>VH_BAND ist ohne VV_BAND angegeben; beide Nummern angeben oder nur die von VV.</translation>
    </message>
    <message>
      <source>VV band</source>
      <translation>VV-Kanal</translation>
    </message>
    <message>
      <source>Weights of networks</source>
      <translation>Gewichte von Netzen</translation>
    </message>
    <message>
      <source>What a model that knows places is told. unknown: nothing; scene: where the pixels are; point: another place, whose look is wanted.</source>
      <translation>Was ein Modell, das Orte kennt, erfährt. unknown: nichts; scene: wo die Pixel liegen; point: ein anderer Ort, dessen Aussehen gewünscht ist.</translation>
    </message>
    <message>
      <source>What the map shows cannot be transformed to the CRS of the layer {name}; zoom to it first.</source>
      <translation>Was die Karte zeigt, lässt sich nicht in das KBS des Layers {name} umrechnen; erst auf ihn zoomen.</translation>
    </message>
    <message>
      <source>What the mask's values mean. model: they are the model's own class numbers, from 0; custom: they are given by MAPPING.</source>
      <translation>Was die Werte der Maske bedeuten. model: sie sind die Klassennummern des Modells, ab 0; custom: MAPPING sagt es.</translation>
    </message>
    <message>
      <source>What the numbers mean; auto tells them apart and says what it found.</source>
      <translation>Was die Zahlen bedeuten; auto unterscheidet sie und sagt, was es gefunden hat.</translation>
    </message>
    <message>
      <source>What the rasters hold</source>
      <translation>Was die Raster enthalten</translation>
    </message>
    <message>
      <source>What the values of the land cover mean; model: they are the model's own class codes.</source>
      <translation>Was die Werte der Landbedeckung bedeuten; model: Sie sind die Klassenwerte des Modells.</translation>
    </message>
    <message>
      <source>What to make, separated by commas, as in s2_l2a,dem. dem: elevation; s1_rtc: radar; s2_l1c, s2_l2a: optical; lulc: land cover; cloud_mask; date; position; and what else the model knows. What is given cannot be generated.</source>
      <translation>Was entstehen soll, durch Kommas getrennt, wie in s2_l2a,dem. dem: Höhe; s1_rtc: Radar; s2_l1c, s2_l2a: Optik; lulc: Landbedeckung; cloud_mask: Wolken; date: Datum; position: Ort; und was das Modell sonst kennt. Was gegeben ist, kann nicht erzeugt werden.</translation>
    </message>
    <message>
      <source>Where an earlier run to the same output was interrupted, its finished parts are kept beside it. ask: stop and say so; continue: go on from there, and keep the finished parts when cancelled; restart: remove them and start over.</source>
      <translation>Wurde ein früherer Lauf mit derselben Ausgabe unterbrochen, so liegen seine fertigen Teile daneben. ask: anhalten und es sagen; continue: dort weitermachen und fertige Teile auch beim Abbrechen behalten; restart: sie entfernen und von vorn beginnen.</translation>
    </message>
    <message>
      <source>Write every sample</source>
      <translation>Jede Ziehung schreiben</translation>
    </message>
    <message>
      <source>Write the uncertainty</source>
      <translation>Unsicherheit schreiben</translation>
    </message>
    <message>
      <source>Writes a raster a modality that says where the samples differ: mean and standard deviation, or for classes the most frequent one and the share of samples that have it. It needs at least two samples, and shows the model's own doubt, not its error.</source>
      <translation>Schreibt je Modalität ein Raster, das sagt, wo sich die Ziehungen unterscheiden: Mittelwert und Standardabweichung oder, bei Klassen, die häufigste und den Anteil der Ziehungen, die sie haben. Es braucht mindestens zwei Ziehungen und zeigt den Zweifel des Modells, nicht seinen Fehler.</translation>
    </message>
    <message>
      <source>Writes the samples after the first too, each as a raster of its own.</source>
      <translation>Schreibt auch die Ziehungen nach der ersten, jede als eigenes Raster.</translation>
    </message>
    <message>
      <source>any to any,multimodal,diffusion,cop-gen,sentinel-1,sentinel-2,sar,radar,optical,dem,elevation,land cover,cloud,synthesis,synthetic,generative,uncertainty,samples,deep learning,ai</source>
      <translation>beliebig zu beliebig,multimodal,diffusion,cop-gen,sentinel-1,sentinel-2,sar,radar,optik,dhm,höhe,landbedeckung,wolken,synthese,synthetisch,generativ,unsicherheit,ziehungen,deep learning,ki</translation>
    </message>
    <message>
      <source>auto takes an NVIDIA graphics card where it works and says so; cpu; cuda (an error without one).</source>
      <translation>auto nimmt eine NVIDIA-Grafikkarte, wenn sie geht, und sagt es; cpu; cuda (Fehler, wenn es keine gibt).</translation>
    </message>
    <message>
      <source>auto tells them apart and says what it found; linear: power (sigma0 or gamma0); db: decibels; relative: a grey-scale stretch of dB, as in an 8-bit picture.</source>
      <translation>auto unterscheidet sie und sagt, was es fand; linear: Leistung (Sigma0 oder Gamma0); db: Dezibel; relative: eine Graustreckung von dB, wie in einem 8-Bit-Bild.</translation>
    </message>
    <message>
      <source>automatic</source>
      <translation>automatisch</translation>
    </message>
    <message>
      <source>choose what to make</source>
      <translation>auswählen, was entstehen soll</translation>
    </message>
    <message>
      <source>did you mean {name}?</source>
      <translation>war {name} gemeint?</translation>
    </message>
    <message>
      <source>evaluation,accuracy,assessment,validation,quality,psnr,ssim,rmse,spectral angle,sam,lpips,fid,qnr,confusion,iou,f1,comparison,difference,report</source>
      <translation>Bewertung,Genauigkeit,Validierung,Qualität,psnr,ssim,rmse,Spektralwinkel,sam,lpips,fid,qnr,Konfusionsmatrix,iou,f1,Vergleich,Differenz,Bericht</translation>
    </message>
    <message>
      <source>float32; bfloat16 or float16 are several times faster on a graphics card and less exact.</source>
      <translation>float32; bfloat16 oder float16 sind auf einer Grafikkarte um ein Mehrfaches schneller und weniger genau.</translation>
    </message>
    <message>
      <source>mask,land cover,lulc,segmentation,classification,worldcover,corine,dynamic world,aras400k,image,synthesis,synthetic,generative,deep learning,ai,gan,onnx,training data</source>
      <translation>maske,landbedeckung,landnutzung,lulc,segmentierung,klassifikation,worldcover,corine,dynamic world,aras400k,bild,synthese,synthetisch,generativ,deep learning,ki,gan,onnx,trainingsdaten</translation>
    </message>
    <message>
      <source>model: as the model's author advises; singlestep or multistep: DPM-Solver++; consistency: for models that were distilled to a few steps.</source>
      <translation>model: wie vom Autor des Modells empfohlen; singlestep oder multistep: DPM-Solver++; consistency: für Modelle, die auf wenige Schritte destilliert wurden.</translation>
    </message>
    <message>
      <source>no message</source>
      <translation>keine Meldung</translation>
    </message>
    <message>
      <source>sar,radar,sentinel-1,backscatter,optical,sentinel-2,false colour,swir,translation,synthesis,generative,deep learning,ai,gan,onnx,cloud,despeckle</source>
      <translation>sar,radar,sentinel-1,rückstreuung,optisch,sentinel-2,falschfarben,swir,übersetzung,synthese,generativ,deep learning,ki,gan,onnx,wolken,entrauschen</translation>
    </message>
    <message>
      <source>values: measurements such as reflectance; classes: codes of classes such as land cover.</source>
      <translation>values: Messwerte wie Reflexion; classes: Klassennummern wie Landbedeckung.</translation>
    </message>
    <message>
      <source>world: overlapping scenes and extents have equal pixels where they meet; scene: as few windows as possible, which is faster and joins nothing else.</source>
      <translation>world: Überlappende Szenen und Ausdehnungen haben gleiche Pixel, wo sie sich treffen; scene: so wenige Fenster wie möglich, was schneller ist und an nichts anderes anschließt.</translation>
    </message>
    <message>
      <source>{algorithm} has no parameter {key}; {hint}</source>
      <translation>{algorithm} hat keinen Parameter {key}; {hint}</translation>
    </message>
    <message>
      <source>{done} of {total} parts are done and kept; run it again with RESUME (Interrupted earlier run) set to continue.</source>
      <translation>{done} von {total} Teilen sind fertig und bleiben erhalten; erneut ausführen mit RESUME (Unterbrochener früherer Lauf) auf continue.</translation>
    </message>
    <message>
      <source>{folder} (not there yet)</source>
      <translation>{folder} (noch nicht da)</translation>
    </message>
    <message>
      <source>{modality} (synthetic)</source>
      <translation>{modality} (synthetisch)</translation>
    </message>
    <message>
      <source>{modality} (synthetic, sample {number})</source>
      <translation>{modality} (synthetisch, Ziehung {number})</translation>
    </message>
    <message>
      <source>{modality} (uncertainty)</source>
      <translation>{modality} (Unsicherheit)</translation>
    </message>
    <message>
      <source>{modality} is given twice; give it once.</source>
      <translation>{modality} ist zweimal gegeben; geben Sie es einmal.</translation>
    </message>
    <message>
      <source>{model}, seed {seed}</source>
      <translation>{model}, Startwert {seed}</translation>
    </message>
    <message>
      <source>{name} (coarse)</source>
      <translation>{name} (grob)</translation>
    </message>
    <message>
      <source>{name} is about several samples, and SAMPLES is 1; set SAMPLES to 2 or more.</source>
      <translation>{name} handelt von mehreren Ziehungen, und SAMPLES ist 1; setzen Sie SAMPLES auf 2 oder mehr.</translation>
    </message>
    <message>
      <source>{name} is given as an input and in GENERATE; take it out of one of the two.</source>
      <translation>{name} ist als Eingabe und in GENERATE angegeben; nehmen Sie es aus einem von beiden heraus.</translation>
    </message>
    <message>
      <source>{number} h</source>
      <translation>{number} h</translation>
    </message>
    <message>
      <source>{number} min</source>
      <translation>{number} min</translation>
    </message>
    <message>
      <source>{number} s</source>
      <translation>{number} s</translation>
    </message>
    <message>
      <source>{output} holds an interrupted run, {done} of {total} parts done; set RESUME (Interrupted earlier run) to continue or to restart.</source>
      <translation>{output} enthält einen unterbrochenen Lauf, {done} von {total} Teilen sind fertig; RESUME (Unterbrochener früherer Lauf) auf continue oder auf restart setzen.</translation>
    </message>
    <message>
      <source>{score}, mean over results</source>
      <translation>{score}, Mittel über die Ergebnisse</translation>
    </message>
    <message>
      <source>{text}, about {time} left</source>
      <translation>{text}, noch etwa {time}</translation>
    </message>
  </context>
</TS>
