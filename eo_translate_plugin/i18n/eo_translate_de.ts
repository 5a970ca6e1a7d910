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
      <source>Advanced parameters</source>
      <translation>Erweiterte Parameter</translation>
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
      <source>CPU (about 100 MB to download)</source>
      <translation>CPU (etwa 100 MB herunterzuladen)</translation>
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
      <source>Create</source>
      <translation>Anlegen</translation>
    </message>
    <message>
      <source>Creating {folder}</source>
      <translation>{folder} wird angelegt</translation>
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
      <source>EO Translate (imagery you do not have, from the rasters you do)</source>
      <translation>EO Translate (Bilder, die fehlen, aus Rastern, die vorhanden sind)</translation>
    </message>
    <message>
      <source>EO Translate: preview</source>
      <translation>EO Translate: Vorschau</translation>
    </message>
    <message>
      <source>Elevation (DEM)</source>
      <translation>Höhe (DGM)</translation>
    </message>
    <message>
      <source>Elevation in metres, any grid or CRS; warped to the SAR raster's grid.</source>
      <translation>Höhe in Metern, beliebiges Gitter oder KBS; wird auf das Gitter des SAR-Rasters gebracht.</translation>
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
      <source>Extent to translate</source>
      <translation>Zu übersetzende Ausdehnung</translation>
    </message>
    <message>
      <source>Folder</source>
      <translation>Ordner</translation>
    </message>
    <message>
      <source>For each output band, the mean and the standard deviation over the samples, in physical units. It needs at least two samples, and shows the model's own doubt, not its error.</source>
      <translation>Für jeden Ausgabekanal Mittelwert und Standardabweichung über die Ziehungen, in physikalischen Einheiten. Braucht mindestens zwei Ziehungen und zeigt den Zweifel des Modells, nicht seinen Fehler.</translation>
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
      <source>Go on creating</source>
      <translation>Weiter anlegen</translation>
    </message>
    <message>
      <source>How many images to draw that differ by noise alone. The first is written to the output; the mean and the standard deviation of all are written to the uncertainty raster. Time grows in proportion.</source>
      <translation>Wie viele Bilder gezogen werden, die sich allein im Rauschen unterscheiden. Das erste wird ausgegeben; Mittelwert und Standardabweichung aller stehen im Unsicherheitsraster. Die Zeit wächst entsprechend.</translation>
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
      <source>In use</source>
      <translation>In Gebrauch</translation>
    </message>
    <message>
      <source>Interrupted earlier run</source>
      <translation>Unterbrochener früherer Lauf</translation>
    </message>
    <message>
      <source>LEGEND is custom, so MAPPING must say what the values mean, as in 1=water;2=trees.</source>
      <translation>LEGEND ist custom, also muss MAPPING sagen, was die Werte bedeuten, etwa 1=water;2=trees.</translation>
    </message>
    <message>
      <source>Land-cover mask</source>
      <translation>Landbedeckungsmaske</translation>
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
      <source>Model</source>
      <translation>Modell</translation>
    </message>
    <message>
      <source>NVIDIA graphics card, CUDA (about 1.5 GB to download)</source>
      <translation>NVIDIA-Grafikkarte, CUDA (etwa 1,5 GB herunterzuladen)</translation>
    </message>
    <message>
      <source>No Python {oldest} or newer that can make environments was found (tried {tried}); install one, on Debian and Ubuntu with 'apt install python3-venv', and press Create again.</source>
      <translation>Es wurde kein Python {oldest} oder neuer gefunden, das Umgebungen anlegen kann (versucht: {tried}); eines installieren, unter Debian und Ubuntu mit 'apt install python3-venv', und noch einmal anlegen.</translation>
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
      <source>One band of class values, or three bands of class colours. The output lies on exactly this raster's grid.</source>
      <translation>Ein Kanal mit Klassenwerten oder drei mit Klassenfarben. Die Ausgabe liegt genau auf dem Gitter dieses Rasters.</translation>
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
      <source>Own mapping of values to classes</source>
      <translation>Eigene Zuordnung von Werten zu Klassen</translation>
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
      <source>Seed</source>
      <translation>Startwert</translation>
    </message>
    <message>
      <source>Sentinel-1 (or similar) backscatter, VV with or without VH, in dB, linear power or as a grey-scale picture. The output lies on exactly this raster's grid.</source>
      <translation>Rückstreuung von Sentinel-1 (oder ähnlich), VV mit oder ohne VH, in dB, linearer Leistung oder als Graubild. Die Ausgabe liegt genau auf dem Gitter dieses Rasters.</translation>
    </message>
    <message>
      <source>Starting the engine</source>
      <translation>Engine wird gestartet</translation>
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
      <source>The name of an installed model, or the folder of a model package (item.json and its weights).</source>
      <translation>Der Name eines installierten Modells oder der Ordner eines Modellpakets (item.json mit Gewichten).</translation>
    </message>
    <message>
      <source>The packages could not be installed ({reason}); check the network and Settings &gt; Options &gt; Network &gt; proxy, and press Create to go on; the log is {log}.</source>
      <translation>Die Pakete konnten nicht installiert werden ({reason}); Netz und Einstellungen &gt; Optionen &gt; Netzwerk &gt; Proxy prüfen und mit „Anlegen“ weitermachen; das Protokoll ist {log}.</translation>
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
      <source>What the map shows cannot be transformed to the CRS of the layer {name}; zoom to it first.</source>
      <translation>Was die Karte zeigt, lässt sich nicht in das KBS des Layers {name} umrechnen; erst auf ihn zoomen.</translation>
    </message>
    <message>
      <source>What the mask's values mean. model: they are the model's own class numbers, from 0; custom: they are given by MAPPING.</source>
      <translation>Was die Werte der Maske bedeuten. model: sie sind die Klassennummern des Modells, ab 0; custom: MAPPING sagt es.</translation>
    </message>
    <message>
      <source>Where an earlier run to the same output was interrupted, its finished parts are kept beside it. ask: stop and say so; continue: go on from there, and keep the finished parts when cancelled; restart: remove them and start over.</source>
      <translation>Wurde ein früherer Lauf mit derselben Ausgabe unterbrochen, so liegen seine fertigen Teile daneben. ask: anhalten und es sagen; continue: dort weitermachen und fertige Teile auch beim Abbrechen behalten; restart: sie entfernen und von vorn beginnen.</translation>
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
      <source>did you mean {name}?</source>
      <translation>war {name} gemeint?</translation>
    </message>
    <message>
      <source>mask,land cover,lulc,segmentation,classification,worldcover,corine,dynamic world,aras400k,image,synthesis,synthetic,generative,deep learning,ai,gan,onnx,training data</source>
      <translation>maske,landbedeckung,landnutzung,lulc,segmentierung,klassifikation,worldcover,corine,dynamic world,aras400k,bild,synthese,synthetisch,generativ,deep learning,ki,gan,onnx,trainingsdaten</translation>
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
      <source>{name} (coarse)</source>
      <translation>{name} (grob)</translation>
    </message>
    <message>
      <source>{output} holds an interrupted run, {done} of {total} parts done; set RESUME (Interrupted earlier run) to continue or to restart.</source>
      <translation>{output} enthält einen unterbrochenen Lauf, {done} von {total} Teilen sind fertig; RESUME (Unterbrochener früherer Lauf) auf continue oder auf restart setzen.</translation>
    </message>
  </context>
</TS>
